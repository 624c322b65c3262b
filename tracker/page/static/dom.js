// Builds elements. Every string goes in as text, never as markup: what a service says of
// itself cannot become part of the page.

const svgNS = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (child === undefined || child === null || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** An HTML element: h("p", { class: "lead" }, "text", other). */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(svgNS, tag), props, children);
}

// The shapes tell what the colours tell, for who sees no colours. On a field of 16 by 16.
const icons = {
  running: "M5 3.5v9l7.5-4.5z",
  completed: "M3.5 8.5l3 3 6-7",
  cancelling: "M5.5 4v8M10.5 4v8",
  compensating: "M12.5 12V9a3 3 0 0 0-3-3H3.5M6.5 3l-3 3 3 3",
  compensated: "M3.5 8a4.5 4.5 0 1 0 1.6-3.4M5.3 2v2.9h2.9",
  failed: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  stuck: "M8 3v6M8 12v.6",
  parked: "M6 13V3.5h3a2.7 2.7 0 0 1 0 5.4H6",
  idle: "M8 5.2a2.8 2.8 0 1 0 .01 0",
  bypassed: "M3 8h8M8 5l3 3-3 3M13 4v8",
  skipped: "M4 8h8",
  overview: "M3 9.5h3.5V13H3zM9.5 3H13v10H9.5zM3 3h3.5v3.5H3z",
  list: "M3 4.5h10M3 8h10M3 11.5h10",
  trouble: "M8 2.5L14 13H2zM8 6.5v3M8 11v.4",
  definitions: "M4 2.5h5l3 3v8H4zM9 2.5v3h3M6 8.5h4M6 11h4",
  participants: "M3 3h10v4H3zM3 9h10v4H3zM5.5 5v.01M5.5 11v.01",
  theme: "M8 2.5a5.5 5.5 0 1 0 5.5 6.5A4.5 4.5 0 0 1 8 2.5",
  search: "M7 3a4 4 0 1 0 .01 0M10 10l3.5 3.5",
  close: "M4 4l8 8M12 4l-8 8",
};
const same = { ready: "running", undoing: "compensating", "undo-failed": "stuck" };

/** An icon, hidden from who listens: words stand beside it. */
export function icon(name, size = 16) {
  return s("svg", { class: "icon", viewBox: "0 0 16 16", width: size, height: size, "aria-hidden": "true", focusable: "false" },
    s("path", { d: iconPath(name) }));
}

export function iconPath(name) {
  return icons[Object.hasOwn(same, name) ? same[name] : Object.hasOwn(icons, name) ? name : "idle"];
}

const tones = {
  running: "blue", ready: "blue", completed: "green", bypassed: "grey", skipped: "grey", idle: "grey",
  cancelling: "amber", compensating: "purple", undoing: "purple", compensated: "purple",
  failed: "red", stuck: "red", "undo-failed": "red", parked: "amber",
};

/** The colour of a status, for a class "tone-…". */
export function tone(status) {
  return Object.hasOwn(tones, status) ? tones[status] : "grey";
}

/** A status as a badge: a shape, a colour and the word. */
export function badge(status, text = status) {
  return h("span", { class: `badge tone-${tone(status)}`, data: { status } }, icon(status, 14), h("span", null, text));
}

/** A string of a service, kept to itself in writing direction and clipped by the styles. */
export function word(text, props) {
  return h("bdi", { class: "word", ...props }, text ?? "");
}

/**
 * A table with a caption and roles, which hold when narrow screens show rows as cards.
 * columns: [{ title, class, hidden, cell(row) → node }]; rows keyed by key(row).
 */
export class Table {
  constructor({ caption, columns, key, rowProps, showCaption }) {
    Object.assign(this, { columns, key, rowProps });
    this.body = h("tbody", { role: "rowgroup" });
    this.element = h("table", { role: "table", class: "table" },
      h("caption", { class: showCaption ? null : "sr" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((c) =>
        h("th", { role: "columnheader", scope: "col", class: c.class }, c.hidden ? h("span", { class: "sr" }, c.title) : c.title)))),
      this.body);
    this.known = new Map();
  }

  row(data) {
    const tr = h("tr", { role: "row", ...this.rowProps?.(data) });
    this.columns.forEach((c, i) => {
      const tag = i === 0 ? "th" : "td";
      tr.append(h(tag, {
        role: i === 0 ? "rowheader" : "cell", scope: i === 0 ? "row" : null,
        class: c.class, data: c.hidden ? {} : { label: c.title },
      }, c.cell(data)));
    });
    return tr;
  }

  /** Shows these rows. Those whose data has not changed stay as they are, focus and all. */
  set(rows) {
    const known = new Map();
    const elements = rows.map((data) => {
      const key = this.key(data);
      const text = JSON.stringify(data);
      const old = this.known.get(key);
      const entry = old && old.text === text ? old : { text, element: this.row(data), changed: old !== undefined };
      if (entry !== old && entry.changed) entry.element.classList.add("changed");
      if (old && old !== entry) keepFocus(old.element, entry.element);
      known.set(key, entry);
      return entry;
    });
    const had = focusedLink(this.body);
    this.known = known;
    const wanted = elements.map((e) => e.element);
    const shown = [...this.body.children];
    if (wanted.length !== shown.length || wanted.some((e, i) => e !== shown[i])) this.body.replaceChildren(...wanted);
    if (had) [...this.body.querySelectorAll("a, button")].find((e) => focusKey(e) === had)?.focus({ preventScroll: true });
  }

  /** Shows one row anew where it stands. */
  patch(data) {
    const key = this.key(data);
    const old = this.known.get(key);
    if (!old) return false;
    const element = this.row(data);
    element.classList.add("changed");
    const had = focusedLink(old.element);
    old.element.replaceWith(element);
    this.known.set(key, { text: JSON.stringify(data), element });
    if (had) [...element.querySelectorAll("a, button")].find((e) => focusKey(e) === had)?.focus({ preventScroll: true });
    return true;
  }
}

function keepFocus(from, to) {
  if (from.classList.contains("open")) to.classList.add("open");
}

function focusKey(element) {
  return element.getAttribute("href") ?? element.textContent;
}

function focusedLink(root) {
  const focused = document.activeElement;
  return focused && root.contains(focused) ? focusKey(focused) : null;
}

/** What stands where there is nothing. */
export function empty(title, text, ...more) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text && h("p", null, text), more);
}

/** A card: a section with a heading. */
export function card(title, ...children) {
  const id = `h-${++ids}`;
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), children);
}
let ids = 0;

/** An id that no other element has. */
export function freshID(prefix) {
  return `${prefix}-${++ids}`;
}

/** A part that scrolls sideways by itself, also by keyboard. */
export function scroller(label, ...children) {
  return h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": label }, children);
}

/** Says something to who listens. */
export function announce(text) {
  const place = document.getElementById("announce");
  place.textContent = "";
  setTimeout(() => { place.textContent = text; }, 50);
}
