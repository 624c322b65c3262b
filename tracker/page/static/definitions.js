// The definitions that services have published, and how many sagas live by each.
import { get, live, path, throttled } from "./api.js";
import { badge, card, empty, h, icon, scroller, Table, tone, word } from "./dom.js";
import { count, plural } from "./format.js";
import { framed, numbers, picture } from "./graph.js";
import { base } from "./api.js";
import { definitionLink, listLink } from "./links.js";
import { statuses, underWay } from "./overview.js";

export function render(ctx) {
  return ctx.parts.length === 3 ? one(ctx, ctx.parts[1], ctx.parts[2]) : all(ctx);
}

async function all(ctx) {
  const { signal } = ctx;
  const table = new Table({
    caption: "Definitions by saga and version",
    key: (d) => `${d.saga}/${d.version}`,
    columns: [
      { title: "Definition", cell: (d) => h("a", { class: "id", href: definitionLink(d.saga, d.version) }, word(d.saga), ` v${d.version}`) },
      { title: "Sagas", cell: (d) => statusCounts(d) },
      { title: "May it be deleted?", cell: verdict },
      { title: "Services", class: "c-names", cell: (d) => names(d.services) },
      { title: "Builds", class: "c-names", cell: (d) => names(builds(d)) },
    ],
  });
  const place = h("div");
  const update = async () => {
    const rows = (await get("/definitions", { signal })).slice(0, 200);
    if (rows.length === 0) {
      place.replaceChildren(empty("No service has published a definition", "A participant publishes those of its sagas when it starts."));
      return;
    }
    table.set(rows);
    if (table.element.parentNode !== place) place.replaceChildren(table.element);
  };
  await update();
  const again = throttled(3000, () => update().catch(() => {}), signal);
  live({}, { saga: again, reset: again, freshness: ctx.freshness }, signal);
  return [h("div", { class: "page-head" }, h("h1", null, "Definitions"), h("p", { class: "lead" }, "What the services agreed on, and how many sagas live by it.")), h("div", { class: "card" }, place)];
}

function statusCounts(d) {
  const counts = d.counts ?? {};
  const shown = statuses.filter((s) => counts[s] > 0);
  if (shown.length === 0) return h("span", { class: "muted" }, "none");
  return h("div", { class: "counts" }, shown.map((s) => h("a", { class: `count-link tone-${tone(s)}`, href: listLink({ saga: d.saga, version: d.version, status: s }) },
    icon(s, 14), `${count(counts[s])} ${s}`)));
}

function verdict(d) {
  return h("div", { class: "reason" }, badge(d.deletable ? "completed" : "idle", d.deletable ? "yes" : "no"), d.why && h("div", { class: "muted" }, word(d.why)));
}

function names(list) {
  return h("ul", { class: "plain-list" }, (list ?? []).map((x) => h("li", null, word(x))));
}

// builds names which builds know the definition, each with its service.
function builds(d) {
  return (d.builds ?? []).map((b) => `${b.service} ${b.build || "(no build)"}`);
}

async function one(ctx, saga, version) {
  const { signal } = ctx;
  const address = `/definitions${path(saga, version)}`;
  let d = await get(address, { signal });
  const facts = h("dl", { class: "facts" }), lead = h("p", { class: "lead" });
  const graph = h("div", null, h("p", { class: "muted" }, "Loading the picture…"));
  const table = new Table({
    caption: "Steps", key: (x) => x.name,
    columns: [
      { title: "Step", cell: (x) => h("strong", null, word(x.name)) },
      { title: "Waiting now", class: "num", cell: (x) => x.waiting > 0 ? h("a", { href: listLink({ saga, version, step: x.name }) }, count(x.waiting)) : "0" },
    ],
  });
  let svg = null;
  const update = () => {
    const steps = d.steps ?? {};
    facts.replaceChildren(
      fact("May it be deleted?", verdict(d)),
      fact("Sagas", statusCounts(d)),
      fact("Services", names(d.services)),
      fact("Published by", names(d.published_by)),
      fact("Builds", names(builds(d))),
      fact("Fingerprint", h("code", { class: "break" }, word(d.fingerprint))));
    const named = svg ? [...svg.querySelectorAll("g.step[data-step]")].map((g) => g.dataset.step) : Object.keys(steps);
    table.set(named.slice(0, 200).map((name) => ({ name, waiting: steps[name] ?? 0 })));
    if (svg) numbers(svg, new Map(Object.entries(steps)));
    lead.textContent = standing(d.counts ?? {});
  };
  update();
  picture(saga, version, signal).then((found) => {
    svg = found;
    graph.replaceChildren(svg ? framed(svg, "The steps as a picture") : h("p", { class: "note" }, "There is no picture of it."));
    update();
  }).catch((error) => {
    if (!signal.aborted) graph.replaceChildren(h("p", { class: "note" }, `The picture cannot be shown: ${error.message}`));
  });
  const again = throttled(3000, async () => {
    try { d = await get(address, { signal }); update(); } catch { /* the next change asks again */ }
  }, signal);
  live({ saga }, { saga: again, reset: again, freshness: ctx.freshness }, signal);
  return [
    h("p", { class: "crumb" }, h("a", { href: `${base}/definitions` }, "Definitions")),
    h("div", { class: "page-head" }, h("h1", null, word(saga), ` v${version}`), lead),
    h("div", { class: "columns wide-left" }, card("Graph", graph), h("div", { class: "stack" }, card("About", facts), card("Steps", table.element))),
    d.yaml && card("As YAML", scroller("The definition as YAML", h("pre", { class: "code" }, d.yaml))),
  ].filter(Boolean);
}

function standing(counts) {
  const sum = (list) => list.reduce((n, s) => n + (counts[s] ?? 0), 0);
  return `${plural(sum(underWay), "saga is", "sagas are")} on the way by it, ${count(sum(statuses))} in all.`;
}

function fact(name, ...value) {
  return h("div", null, h("dt", null, name), h("dd", null, value));
}
