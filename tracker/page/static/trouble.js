// What hangs, by cause: stuck sagas, parked ones, dead letters; and the way to redrive those.
import { get, live, post, throttled } from "./api.js";
import { modal } from "./actions.js";
import { announce, card, empty, freshID, h, Table, word } from "./dom.js";
import { ago, count, eventName, plural } from "./format.js";
import { listLink, sagaLink } from "./links.js";
import { isStuck } from "./overview.js";

export async function render(ctx) {
  const { signal } = ctx;
  const lead = h("p", { class: "lead" });
  const parts = [new Stuck(ctx), new Parked(ctx), new Letters(ctx)];
  const update = async () => {
    await Promise.all(parts.map((p) => p.load()));
    const n = parts.map((p) => p.total);
    lead.textContent = n.some((x) => x === null) ? "" : n.every((x) => x === 0)
      ? "Nothing hangs: no saga is stuck or parked, and there is no dead letter."
      : `${plural(n[0], "saga")} stuck, ${count(n[1])} parked, ${plural(n[2], "dead letter")}.`;
  };
  await update();
  const again = throttled(3000, () => update().catch(() => {}), signal);
  live({ status: ["stuck", "parked"] }, { saga: again, reset: again, freshness: ctx.freshness }, signal);
  const timer = setInterval(again, 15000); // dead letters and releases announce themselves to nobody
  signal.addEventListener("abort", () => clearInterval(timer));
  return [h("div", { class: "page-head" }, h("h1", null, "Trouble"), lead), ...parts.map((p) => p.element)];
}

// Part is a card with a table that may be empty, or not to be had.
class Part {
  constructor(ctx, title) {
    Object.assign(this, { ctx, total: null });
    this.place = h("div");
    this.element = card(title, this.place);
  }

  async load() {
    try {
      const rows = await this.rows();
      if (rows.length === 0) return void this.place.replaceChildren(this.none());
      this.table.set(rows.slice(0, 200));
      if (this.table.element.parentNode !== this.place) this.place.replaceChildren(this.table.element);
    } catch (error) {
      if (this.ctx.signal.aborted) throw error;
      if (error.status === 401) throw error;
      this.total = null;
      this.place.replaceChildren(empty(error.title ?? "This cannot be shown", error.message));
    }
  }
}

// lookedAt is how many stuck sagas are looked at for their causes: those that wait for longest.
const lookedAt = 200;

class Stuck extends Part {
  constructor(ctx) {
    super(ctx, "Stuck sagas");
    this.table = new Table({
      caption: "Stuck sagas by step and error",
      key: (c) => c.key,
      columns: [
        { title: "Cause", cell: (c) => h("div", { class: "reason" }, h("strong", null, word(c.step)), c.service && [" in ", word(c.service)], " ", c.code && h("code", null, word(c.code)), h("div", { class: "muted" }, word(c.message))) },
        { title: "Sagas", class: "num", cell: (c) => c.all > lookedAt ? `${count(c.sagas.length)} of ${lookedAt} seen` : count(c.sagas.length) },
        { title: "Oldest", class: "nowrap", cell: (c) => ago(c.sagas[0].updated_at, { suffix: "" }) },
        { title: "Some of them", cell: (c) => samples(c.sagas) },
        { title: "Show", hidden: true, class: "end", cell: (c) => h("a", { class: "button small", href: listLink({ status: "stuck", step: c.step, code: c.code, sort: "updated" }) }, "Show sagas", h("span", { class: "sr" }, ` stuck at ${c.step}`)) },
      ],
    });
  }

  // rows groups sagas by where they are stuck and by which error: errors need not have a code.
  async rows() {
    const { signal } = this.ctx;
    const [{ sagas, freshness }, { counts }] = await Promise.all([
      get("/sagas", { signal, params: { status: "stuck", sort: "updated", limit: lookedAt } }),
      get("/counts", { signal, params: { by: "status", status: "stuck" } }),
    ]);
    this.ctx.freshness(freshness);
    this.total = counts.filter((c) => c.key === "stuck").reduce((n, c) => n + c.count, 0);
    const groups = new Map();
    for (const s of sagas) {
      for (const x of (s.steps ?? []).filter(isStuck)) {
        const { code = "", message = "" } = x.error ?? {};
        const key = JSON.stringify([x.name, x.service, code || message]);
        if (!groups.has(key)) groups.set(key, { key, step: x.name, service: x.service, code, message, all: this.total, sagas: [] });
        groups.get(key).sagas.push({ saga: s.saga, id: s.id, updated_at: s.updated_at });
      }
    }
    return [...groups.values()].sort((a, b) => b.sagas.length - a.sagas.length);
  }

  none() {
    return empty("No saga is stuck", "A step that ran out of its retries, or a compensation that failed, shows here.");
  }
}

class Parked extends Part {
  constructor(ctx) {
    super(ctx, "Parked sagas");
    this.table = new Table({
      caption: "Parked sagas by service and cause",
      key: (g) => `${g.service}/${g.code}/${g.message}`,
      columns: [
        { title: "Cause", cell: (g) => h("div", { class: "reason" }, h("strong", null, word(g.service)), " ", g.code && h("code", null, word(g.code)), h("div", { class: "muted" }, word(g.message))) },
        { title: "Sagas", class: "num", cell: (g) => count(g.count) },
        { title: "Oldest", class: "nowrap", cell: (g) => ago(g.oldest, { suffix: "" }) },
        { title: "Some of them", cell: (g) => samples(g.sagas) },
        { title: "Show", hidden: true, class: "end", cell: (g) => h("a", { class: "button small", href: listLink({ status: "parked", service: g.service, code: g.code }) }, "Show sagas", h("span", { class: "sr" }, ` parked by ${g.service}`)) },
      ],
    });
  }

  async rows() {
    const groups = await get("/parked", { signal: this.ctx.signal });
    this.total = groups.reduce((n, g) => n + g.count, 0);
    return groups;
  }

  none() {
    return empty("No saga is parked", "A service that cannot read an event, or meets a definition it does not know, parks the saga and shows here.");
  }
}

function samples(sagas) {
  return h("ul", { class: "plain-list" }, (sagas ?? []).slice(0, 3).map((x) => h("li", null, h("a", { class: "id", href: sagaLink(x.saga, x.id) }, word(x.saga), " ", word(x.id)))));
}

class Letters extends Part {
  constructor(ctx) {
    super(ctx, "Dead letters");
    this.outcome = h("div", { role: "status" });
    this.element.append(this.outcome);
    this.table = new Table({
      caption: "Dead letters by service and error",
      key: (g) => g.group,
      columns: [
        { title: "Error", cell: (g) => h("div", { class: "reason" }, h("strong", null, word(g.service)), " ", g.code && h("code", null, word(g.code)), h("div", { class: "muted" }, word(g.error)), h("div", { class: "muted" }, "read from ", word(g.topic))) },
        { title: "Letters", class: "num", cell: (g) => count(g.count) },
        { title: "First", class: "nowrap", cell: (g) => ago(g.first) },
        { title: "Last", class: "nowrap", cell: (g) => ago(g.last) },
        { title: "Actions", hidden: true, class: "end", cell: (g) => h("div", { class: "actions end" },
          h("button", { type: "button", class: "small", on: { click: () => this.look(g) } }, "Show letters", h("span", { class: "sr" }, ` of ${g.service}: ${g.error}`)),
          this.ctx.may("operate") && h("button", { type: "button", class: "small", data: { redrive: g.group }, on: { click: () => this.redrive(g) } }, "Redrive…", h("span", { class: "sr" }, ` those of ${g.service}: ${g.error}`))) },
      ],
    });
  }

  async rows() {
    const groups = await get("/dead-letters", { signal: this.ctx.signal, params: { by: "error" } });
    this.total = groups.reduce((n, g) => n + g.count, 0);
    return groups;
  }

  none() {
    return empty("There is no dead letter", "A record that belongs to no saga, or that nobody can read, shows here.");
  }

  look(g) {
    const list = h("div", null, h("p", { class: "muted" }, "Reading…"));
    const dialog = show(`Dead letters of ${g.service}`, list);
    get("/dead-letters", { params: { group: g.group } }).then((letters) => {
      const table = new Table({
        caption: `The last ${plural(letters.length, "letter")}`, key: (l) => `${l.partition}/${l.offset}`,
        columns: [
          { title: "Letter", cell: (l) => h("code", null, `${l.partition}/${l.offset}`) },
          { title: "When", class: "nowrap", cell: (l) => ago(l.time) },
          { title: "Read from", cell: (l) => h("code", null, word(`${l.topic} ${l.original_partition}/${l.original_offset}`)) },
          { title: "Saga", cell: (l) => sagaOf(l, () => dialog.close()) },
          { title: "Event", cell: (l) => l.event_type ? word(eventName(l.event_type)) : h("span", { class: "muted" }, "none") },
          { title: "Error", cell: (l) => [word(l.error), l.redriven && h("span", { class: "tag" }, "redriven")] },
        ],
      });
      table.set(letters);
      list.replaceChildren(table.element);
    }, (error) => list.replaceChildren(h("p", { class: "error-text", role: "alert" }, error.message)));
  }

  async redrive(g) {
    const reason = h("textarea", { id: freshID("reason"), rows: 2, required: true, maxlength: 1000 });
    const rehearsal = h("div", { role: "status" }, h("p", { class: "muted" }, "Asking what would happen…"));
    const again = h("input", { type: "checkbox", id: freshID("force") });
    const dialog = modal("Redrive dead letters", [
      h("p", null, "They are published anew, each to the topic where it was read. Services that have handled one already leave it."),
      h("dl", { class: "facts" }, h("div", null, h("dt", null, "Service"), h("dd", null, word(g.service))), h("div", null, h("dt", null, "Error"), h("dd", null, word(g.error)))),
      rehearsal,
      h("label", { class: "check" }, again, "Also those that were redriven before"),
      h("label", { for: reason.id }, "Reason (others read it in the audit log)"), reason,
    ], "Redrive", false, async () => {
      if (reason.value.trim() === "") throw new Error("Say why: others will ask.");
      const result = await post("/dead-letters/redrive", { group: g.group, force: again.checked, reason: reason.value.trim(), dry_run: false });
      this.outcome.replaceChildren(h("p", { class: "note" }, outcome(result, "redriven")));
      announce(outcome(result, "redriven"));
      this.load();
      return listed(result, "redriven");
    });
    const rehearse = async () => {
      const go = dialog.querySelector("button[type=submit]");
      go.disabled = true;
      try {
        const result = await post("/dead-letters/redrive", { group: g.group, force: again.checked, dry_run: true });
        rehearsal.replaceChildren(listed(result, "would be redriven"));
        go.textContent = `Redrive ${count(result.redriven)}`;
        go.disabled = result.redriven === 0;
      } catch (error) {
        rehearsal.replaceChildren(h("p", { class: "error-text", role: "alert" }, error.message));
      }
    };
    again.addEventListener("change", rehearse);
    await rehearse();
  }
}

// sagaOf links to the saga of a letter: its key is the id, its topic is named after the saga.
function sagaOf(letter, leave) {
  const saga = /(?:^|\.)([^.]+)\.events$/.exec(letter.topic)?.[1];
  if (!letter.key || !saga) return h("span", { class: "muted" }, "unknown");
  return h("a", { class: "id", href: sagaLink(saga, letter.key), on: { click: leave } }, word(saga), " ", word(letter.key));
}

function outcome(r, what) {
  const skipped = (r.skipped ?? []).length;
  return `${plural(r.redriven, "letter")} ${r.redriven === 1 ? what.replace("were", "was") : what}${skipped > 0 ? `, ${count(skipped)} skipped` : ""}.`;
}

function listed(r, what) {
  const skipped = r.skipped ?? [];
  return h("div", { class: "note", data: { outcome: what } }, h("p", null, outcome(r, what)),
    skipped.length > 0 && h("ul", { class: "plain-list" }, skipped.slice(0, 20).map((x) => h("li", null, h("code", null, `${x.partition}/${x.offset}`), " ", word(x.why)))),
    skipped.length > 20 && h("p", { class: "muted" }, `and ${count(skipped.length - 20)} more`));
}

function show(title, content) {
  const id = freshID("dialog");
  const opener = document.activeElement;
  const dialog = h("dialog", { class: "wide", "aria-labelledby": id }, h("h2", { id }, title), h("div", { class: "dialog-body" }, content),
    h("p", { class: "actions" }, h("button", { type: "button", class: "primary", on: { click: () => dialog.close() } }, "Close")));
  dialog.addEventListener("close", () => { dialog.remove(); if (opener?.isConnected) opener.focus(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
