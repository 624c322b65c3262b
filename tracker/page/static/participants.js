// The services and their processes: who is there, how far behind, what they wait for.
import { get, live, throttled } from "./api.js";
import { badge, card, empty, h, Table, word } from "./dom.js";
import { ago, count, duration, plural } from "./format.js";
import { sagaLink } from "./links.js";

export async function render(ctx) {
  const { signal } = ctx;
  const place = h("div", { class: "stack" });
  const lead = h("p", { class: "lead" });
  const cards = new Map();
  const update = async () => {
    const data = await get("/participants", { signal });
    const list = data.slice(0, 200);
    const alive = list.filter((p) => (p.instances ?? []).some((i) => !i.gone)).length;
    lead.textContent = list.length === 0 ? "" : `${plural(list.length, "service")}, ${alive === list.length ? "all there" : `${count(alive)} there`}.`;
    if (list.length === 0) {
      place.replaceChildren(h("div", { class: "card" }, empty("No participant has shown itself", "A service shows here with its first heartbeat, soon after it starts.")));
      return;
    }
    for (const p of list) {
      if (!cards.has(p.service)) cards.set(p.service, new Service(p.service));
      cards.get(p.service).set(p);
    }
    const wanted = list.map((p) => cards.get(p.service).element);
    if (wanted.length !== place.children.length || wanted.some((e, i) => e !== place.children[i])) place.replaceChildren(...wanted);
  };
  await update();
  const again = throttled(3000, () => update().catch(() => {}), signal);
  live({ status: ["stuck", "parked"] }, { saga: again, reset: again, freshness: ctx.freshness }, signal);
  const timer = setInterval(again, 5000); // heartbeats are no changes of sagas
  signal.addEventListener("abort", () => clearInterval(timer));
  return [h("div", { class: "page-head" }, h("h1", null, "Participants"), lead), place];
}

class Service {
  constructor(name) {
    this.summary = h("p", { class: "service-line" });
    this.waiting = h("div");
    this.table = new Table({
      caption: `Processes of ${name}`,
      key: (i) => i.instance,
      columns: [
        { title: "Process", cell: (i) => [h("strong", { class: "id" }, word(i.instance)), h("div", { class: "muted" }, i.build ? ["build ", word(i.build)] : "build unknown")] },
        { title: "State", cell: (i) => i.gone ? badge("idle", "gone") : badge("completed", "there") },
        { title: "Seen", class: "nowrap", cell: (i) => ago(i.seen_at) },
        { title: "Up since", class: "nowrap", cell: (i) => ago(i.started_at, { suffix: "" }) },
        { title: "Partitions", class: "num", cell: (i) => count(i.partitions ?? 0) },
        { title: "Behind", class: "num", cell: (i) => count(i.lag_events ?? 0) },
        { title: "Outbox", class: "num", cell: (i) => i.outbox?.entries ? `${count(i.outbox.entries)}, ${duration(i.outbox.oldest_seconds)} old` : "empty" },
        { title: "Parked", class: "num", cell: (i) => count(i.parked ?? 0) },
      ],
    });
    this.element = card(h("bdi", { class: "word" }, name), this.summary, this.table.element, this.waiting);
  }

  set(p) {
    const instances = (p.instances ?? []).slice(0, 100);
    const there = instances.filter((i) => !i.gone).length;
    const text = JSON.stringify([there, p.lag_events, p.last_seen, instances.flatMap((i) => i.waiting ?? [])]);
    this.table.set(instances);
    if (text === this.text) return;
    this.text = text;
    this.table.element.hidden = instances.length === 0;
    this.summary.replaceChildren(
      instances.length === 0 ? badge("idle", "not heard of yet") : badge(there > 0 ? "completed" : "stuck", there > 0 ? plural(there, "process", "processes") : "nobody there"),
      h("span", null, (p.lag_events ?? 0) > 0 ? `${plural(p.lag_events, "event")} behind` : "has read every event"),
      h("span", { class: "muted" }, instances.length === 0 ? "it has published what it does, but no process of it has told how it stands" : ["last seen ", ago(p.last_seen)]));
    const waiting = instances.flatMap((i) => i.waiting ?? []).slice(0, 20);
    this.waiting.replaceChildren(...(waiting.length === 0 ? [] : [h("h3", null, "Waits with"), h("ul", { class: "waiting" }, waiting.map((w) =>
      h("li", null, h("strong", null, word(w.step)), " of ", h("a", { class: "id", href: sagaLink(w.saga, w.id) }, word(w.saga), " ", word(w.id)), h("span", { class: "muted" }, " ", word(w.state)),
        w.attempt ? `, attempt ${w.attempt}` : "", w.due_at ? [", due ", ago(w.due_at)] : "", w.error && [": ", word(w.error.message || w.error.code)])))]));
  }
}
