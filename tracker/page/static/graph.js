// The picture of a definition with the states of one saga, or counts, drawn into it.
import { getText, path } from "./api.js";
import { h, iconPath, s, scroller, tone } from "./dom.js";

// What a picture may consist of. Its own styles are left out: those of the page follow the
// theme that was chosen, and no style from within a document is allowed here anyway.
const elements = new Set(["svg", "g", "defs", "marker", "path", "rect", "circle", "line", "polygon", "text", "tspan", "title", "desc"]);
const attributes = new Set(["class", "id", "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "points",
  "viewBox", "refX", "refY", "markerWidth", "markerHeight", "markerUnits", "orient", "marker-end", "transform", "text-anchor", "role",
  "aria-labelledby", "data-step", "data-service", "data-from", "data-to"]);

const policy = globalThis.trustedTypes?.createPolicy("choreo-graph", { createHTML: (text) => text });

/** Reads the picture of a definition: an element of this page, or null where there is none. */
export async function picture(saga, version, signal) {
  const answer = await getText(`/definitions${path(saga, version)}/graph.svg`, { signal, accept: "image/svg+xml" });
  const text = answer.replace(/<style>[^<]*<\/style>/g, ""); // the policy would report it
  const parsed = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, "image/svg+xml");
  const root = parsed.documentElement;
  if (root.localName !== "svg") return null;
  const svg = copy(root);
  // Colours tell states here: those of the services, and what explains them, would mislead.
  for (const key of svg.querySelectorAll("g.step:not([data-step])")) {
    if (/(^|\s)s\d+(\s|$)/.test(key.getAttribute("class"))) key.parentNode.remove();
  }
  return svg;
}

// copy takes over what is known, and nothing else.
function copy(from) {
  const to = s(from.localName);
  for (const { name, value } of from.attributes) {
    if (attributes.has(name) && !(name === "marker-end" && !/^url\(#[\w.-]+\)$/.test(value))) to.setAttribute(name, value);
  }
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) to.append(child.data);
    else if (child.nodeType === Node.ELEMENT_NODE && elements.has(child.localName)) to.append(copy(child));
  }
  return to;
}

/** Whether a picture is too wide to share a row with something else. */
export function isWide(svg) {
  return Number(svg.getAttribute("width")) > 640;
}

/** Puts a picture into a part that scrolls, no wider than it must be. */
export function framed(svg, label) {
  return h("div", { class: "graph" }, scroller(label, svg));
}

/** Draws the steps' states into a picture; again whenever they change. */
export function colour(svg, steps) {
  const states = new Map(steps.map((x) => [x.name, x]));
  for (const group of svg.querySelectorAll("g.step[data-step]")) {
    const step = states.get(group.dataset.step);
    const status = step?.status ?? "idle";
    if (group.dataset.status === status) continue;
    group.dataset.status = status;
    for (const name of [...group.classList]) if (name.startsWith("tone-")) group.classList.remove(name);
    group.classList.add(`tone-${tone(status)}`);
    group.querySelector(".state")?.remove();
    const title = group.querySelector("title");
    title.dataset.plain ??= title.textContent;
    title.textContent = `${group.dataset.step}: ${status}. ${title.dataset.plain}`;
    if (status !== "idle") group.append(mark(group.querySelector("rect.box"), status));
  }
  for (const edge of svg.querySelectorAll("path.edge[data-from]")) {
    const from = states.get(edge.dataset.from)?.status;
    edge.classList.toggle("walked", edge.classList.contains("start") || ["completed", "bypassed", "undoing", "compensated", "undo-failed"].includes(from));
  }
}

// mark is a small sign at the corner of a box: a shape as well as a colour.
function mark(box, status) {
  const x = Number(box.getAttribute("x")), y = Number(box.getAttribute("y"));
  return s("g", { class: "state", transform: `translate(${x - 9} ${y - 9})` },
    s("circle", { cx: 9, cy: 9, r: 10 }), s("path", { d: iconPath(status), transform: "translate(1 1)" }));
}

/** Draws numbers at the steps: how many sagas wait there. */
export function numbers(svg, counts) {
  for (const group of svg.querySelectorAll("g.step[data-step]")) {
    const n = counts.get(group.dataset.step) ?? 0;
    group.querySelector(".state")?.remove();
    if (n === 0) continue;
    const box = group.querySelector("rect.box");
    const text = n > 9999 ? `${Math.round(n / 1000)}k` : String(n);
    const width = Math.max(20, 10 + text.length * 7);
    group.append(s("g", { class: "state number", transform: `translate(${Number(box.getAttribute("x")) - 9} ${Number(box.getAttribute("y")) - 9})` },
      s("title", null, `${n} wait here`),
      s("rect", { width, height: 20, rx: 10 }), s("text", { x: width / 2, y: 14 }, text)));
    const title = group.querySelector("title");
    title.dataset.plain ??= title.textContent;
    title.textContent = `${n} wait at ${group.dataset.step}. ${title.dataset.plain}`;
  }
}
