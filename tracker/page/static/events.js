// The log of one saga, a hundred events at a time.
import { get } from "./api.js";
import { badge, empty, h, scroller, word } from "./dom.js";
import { bytes, count, eventName, time } from "./format.js";

const pageSize = 100;
const toneOf = {
  "choreo.step.completed": "completed", "choreo.step.failed": "failed", "choreo.step.skipped": "skipped", "choreo.step.stuck": "stuck",
  "choreo.step.compensated": "compensated", "choreo.step.compensation-failed": "undo-failed", "choreo.saga.parked": "parked",
  "choreo.saga.aborted": "compensating", "choreo.saga.abort-requested": "cancelling", "choreo.saga.started": "running",
};

export class EventTable {
  constructor(ctx, address) {
    Object.assign(this, { ctx, address, events: [], at: null, open: new Set() });
    this.element = h("div", null, h("p", { class: "muted" }, "Reading the log…"));
  }

  async load() {
    try {
      const { events = [], more } = await get(`${this.address}/events`, { signal: this.ctx.signal });
      this.more = more === true;
      if (JSON.stringify(events) === JSON.stringify(this.events) && events.length > 0) return;
      this.events = events;
      this.draw();
    } catch (error) {
      if (this.ctx.signal.aborted) return;
      this.element.replaceChildren(empty("The log cannot be read", error.message,
        h("button", { type: "button", on: { click: () => this.load() } }, "Try again")));
    }
  }

  draw() {
    const { events } = this;
    if (events.length === 0) {
      this.element.replaceChildren(empty("The log has nothing of this saga any more", "Its events have been removed by the topic's retention."));
      return;
    }
    const from = this.at ?? 0;
    const rows = events.slice(from, from + pageSize);
    const table = h("table", { class: "table events", role: "table" },
      h("caption", { class: "sr" }, `Events ${from + 1} to ${from + rows.length} of ${events.length}`),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ["Offset", "Time", "Event", "Step", "From", "Details"].map((t) =>
        h("th", { scope: "col", role: "columnheader", class: t === "Offset" ? "num" : null }, t)))),
      h("tbody", { role: "rowgroup" }, rows.map((e) => this.rows(e))));
    this.element.replaceChildren(table, this.pager(from));
  }

  pager(from) {
    const all = this.events.length;
    const rest = this.more ? "; the log has more than are read here" : "";
    if (all <= pageSize) return h("p", { class: "muted" }, `${count(all)} events${rest}`);
    const go = (at, text) => h("button", { type: "button", disabled: at < 0 || at >= all, on: { click: () => {
      this.at = at;
      this.draw();
      this.element.querySelector(".pager button:not(:disabled)")?.focus({ preventScroll: true });
    } } }, text);
    return h("div", { class: "pager", role: "group", "aria-label": "Pages of the log" },
      go(from - pageSize, "Earlier"), h("span", { role: "status" }, `${count(from + 1)}–${count(Math.min(all, from + pageSize))} of ${count(all)}${rest}`), go(from + pageSize, "Later"));
  }

  rows(e) {
    const key = `${e.partition}/${e.offset}`;
    const more = h("tr", { role: "row", class: "more-row" });
    const toggle = h("button", { type: "button", class: "small", "aria-expanded": "false", on: { click: () => this.toggle(key, e, more, toggle) } },
      "Headers", h("span", { class: "sr" }, ` of offset ${e.offset}`));
    more.hidden = true;
    const cell = (label, className, ...content) => h("td", { role: "cell", class: className, data: { label } }, content);
    const error = e.error ? typeof e.error === "string" ? e.error : [e.error.code && h("code", null, word(e.error.code)), " ", word(e.error.message)] : "";
    const row = h("tr", { role: "row" },
      h("th", { scope: "row", role: "rowheader", class: "num" }, String(e.offset)),
      cell("Time", "nowrap", time(e.time, { millis: true })),
      cell("Event", null, badge(toneOf[e.type] ?? "idle", eventName(e.type))),
      cell("Step", null, word(e.step)),
      cell("From", null, word(e.source)),
      cell("Details", null, h("div", { class: "reason" }, e.attempt > 1 ? `attempt ${e.attempt} ` : "", error, e.by ? [" by ", word(e.by)] : "", e.note ? [" “", word(e.note), "”"] : ""), toggle));
    if (this.open.has(key)) this.toggle(key, e, more, toggle);
    return [row, more];
  }

  async toggle(key, e, more, button) {
    const open = more.hidden;
    more.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (!open) return void this.open.delete(key);
    this.open.add(key);
    const payload = h("div", { class: "payload" });
    more.replaceChildren(h("td", { role: "cell", colspan: 6 },
      scroller(`Headers of offset ${e.offset}`, h("dl", { class: "headers" },
        h("div", null, h("dt", null, "id"), h("dd", null, word(e.id))),
        (e.headers ?? []).map((x) => h("div", null, h("dt", null, word(x.name)), h("dd", null, x.hidden ? h("span", { class: "muted" }, `hidden, ${bytes(x.size ?? 0)}`) : word(x.value)))),
        h("div", null, h("dt", null, "body"), h("dd", null, `${e.content_type ?? "no type"}, ${bytes(e.size ?? 0)}`)))),
      payload));
    if (!this.ctx.may("payload")) return void payload.append(h("p", { class: "muted" }, "You may not see payloads."));
    if ((e.size ?? 0) === 0) return;
    payload.append(h("button", { type: "button", class: "small", on: { click: () => this.payload(e, payload) } }, "Show payload"));
  }

  async payload(e, place) {
    try {
      const { events = [] } = await get(`${this.address}/events`, { signal: this.ctx.signal, params: { payload: "1" } });
      const event = events.find((x) => x.offset === e.offset && x.partition === e.partition);
      const found = event?.payload;
      const text = found === undefined ? `The payload cannot be shown${event?.undecodable ? `: ${event.undecodable}` : "."}` : typeof found === "string" ? found : JSON.stringify(found, null, 2);
      place.replaceChildren(h("pre", { class: "code", tabindex: "0" }, text));
      place.firstChild.focus();
    } catch (error) {
      place.replaceChildren(h("p", { class: "error-text", role: "alert" }, error.message));
    }
  }
}
