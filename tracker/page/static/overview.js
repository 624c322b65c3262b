// The overview: how many sagas stand where, how it went over the last hour, what hangs.
import { get, live, throttled } from "./api.js";
import { badge, card, empty, h, icon, Table, tone, word } from "./dom.js";
import { ago, count, duration, plural } from "./format.js";
import { perMinute } from "./chart.js";
import { definitionLink, listLink, sagaLink } from "./links.js";

export const statuses = ["running", "cancelling", "compensating", "parked", "stuck", "completed", "compensated", "failed"];
/** The statuses of sagas that have not ended. */
export const underWay = statuses.slice(0, 5);
const meanings = {
  running: "on their way forward", cancelling: "asked to turn back", compensating: "going backwards",
  parked: "a service cannot go on", stuck: "wait for an operator", completed: "every step done",
  compensated: "undone to the start", failed: "a step failed, the rest was kept",
};

export async function render({ signal, freshness }) {
  let data = await get("/overview", { signal });
  const tiles = h("ul", { class: "tiles" });
  const chart = perMinute(signal);
  const stuck = h("div"), slow = h("div"), lead = h("p", { class: "lead" });
  const stuckTable = oldest(), slowTable = slowest();

  const update = () => {
    const counts = data.counts ?? {};
    freshness(data.freshness);
    tiles.replaceChildren(...statuses.map((s) => tile(s, counts[s] ?? 0)));
    lead.replaceChildren(...sentence(counts));
    chart.set(data.per_minute ?? []);
    show(stuck, stuckTable, data.oldest_stuck ?? [], () =>
      empty("Nothing is stuck", "A saga that waits for an operator shows here, the oldest first."));
    show(slow, slowTable, data.slowest_steps ?? [], () =>
      empty("No step has been timed yet", "As soon as steps complete, the slowest of them show here."));
  };
  update();
  const again = throttled(3000, async () => {
    try {
      data = await get("/overview", { signal });
      update();
    } catch { /* the next change asks again */ }
  }, signal);
  live({}, { saga: again, reset: again, freshness }, signal);
  const timer = setInterval(again, 30000); // a quiet minute moves the chart on, too
  signal.addEventListener("abort", () => clearInterval(timer));

  return [
    h("div", { class: "page-head" }, h("h1", null, "Overview"), lead),
    h("section", { "aria-label": "Sagas by status" }, tiles),
    card("The last hour", chart.element),
    h("div", { class: "columns" },
      card("Oldest stuck", stuck),
      card("Slowest steps", slow)),
  ];
}

function show(place, table, rows, none) {
  if (rows.length === 0) {
    place.replaceChildren(none());
    return;
  }
  table.set(rows);
  if (table.element.parentNode !== place) place.replaceChildren(table.element);
}

function sentence(counts) {
  const open = underWay.reduce((n, s) => n + (counts[s] ?? 0), 0);
  const hang = (counts.stuck ?? 0) + (counts.parked ?? 0);
  if (open === 0 && statuses.every((s) => !counts[s])) return ["No saga has been started yet. The first one shows here by itself."];
  const first = `${plural(open, "saga is", "sagas are")} on the way; `;
  return hang === 0 ? [first, "none of them hangs."] : [
    first, h("a", { href: listLink({ status: ["stuck", "parked"] }) }, `${count(hang)} ${hang === 1 ? "hangs" : "hang"}`), "."];
}

function tile(status, n) {
  const loud = n > 0 && ["stuck", "parked", "failed"].includes(status);
  return h("li", null, h("a", { class: `tile tone-${tone(status)} ${loud ? "loud" : ""} ${n === 0 ? "none" : ""}`, href: listLink({ status }) },
    h("span", { class: "tile-name" }, icon(status), status),
    h("span", { class: "tile-count", data: { count: status } }, count(n)),
    h("span", { class: "tile-text" }, meanings[status])));
}

function oldest() {
  return new Table({
    caption: "The sagas that have been stuck for longest",
    key: (s) => `${s.saga}/${s.id}`,
    columns: [
      { title: "Saga", cell: (s) => h("a", { href: sagaLink(s.saga, s.id), class: "id" }, word(s.saga), " ", word(s.id)) },
      { title: "At", cell: (s) => stuckAt(s) },
      { title: "Since", class: "nowrap", cell: (s) => ago(s.updated_at, { suffix: "" }) },
    ],
  });
}

/** Whether a step waits for an operator. */
export function isStuck(step) {
  return step.status === "stuck" || step.status === "undo-failed";
}

/** Where a saga hangs, and why. */
export function stuckAt(s) {
  const steps = (s.steps ?? []).filter(isStuck);
  if (steps.length === 0) return badge(s.status);
  return steps.map((x) => h("div", { class: "reason" },
    h("strong", null, word(x.name)), x.service ? [" in ", word(x.service)] : "",
    x.error && h("div", { class: "muted" }, word(x.error.message || x.error.code))));
}

function slowest() {
  let most = 1;
  const table = new Table({
    caption: "The steps that take longest, by the 95th percentile",
    key: (s) => `${s.saga}/${s.version}/${s.step}/${s.service}`,
    columns: [
      { title: "Step", cell: (s) => [h("strong", null, word(s.step)), h("div", { class: "muted" }, word(s.service), " · ",
        h("a", { href: definitionLink(s.saga, s.version) }, word(`${s.saga}/${s.version}`)))] },
      { title: "Runs", class: "num", cell: (s) => count(s.count) },
      { title: "Half within", class: "num", cell: (s) => duration(s.p50_seconds) },
      { title: "95 % within", class: "num", cell: (s) => [duration(s.p95_seconds), meter(s.p95_seconds / most)] },
      { title: "Longest", class: "num", cell: (s) => duration(s.max_seconds) },
    ],
  });
  const set = table.set.bind(table);
  table.set = (rows) => {
    most = Math.max(0.001, ...rows.map((r) => r.p95_seconds));
    set(rows);
  };
  return table;
}

/** A bar for a part of a whole; the number stands beside it. */
export function meter(part) {
  const bar = h("span", { class: "bar" });
  bar.style.inlineSize = `${Math.round(Math.min(1, Math.max(0, part)) * 100)}%`;
  return h("span", { class: "meter", "aria-hidden": "true" }, bar);
}
