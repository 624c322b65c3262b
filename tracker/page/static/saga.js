// One saga: the verdict first, then its steps, its way through the services, its log.
import { get, live, path, throttled } from "./api.js";
import { button, possible } from "./actions.js";
import { announce, badge, card, h, icon, scroller, Table, word } from "./dom.js";
import { EventTable } from "./events.js";
import { ago, duration, plural, seconds, time } from "./format.js";
import { colour, framed, isWide, picture } from "./graph.js";
import { definitionLink } from "./links.js";
import { tagList } from "./list.js";
import { timeline } from "./timeline.js";

export async function render(ctx) {
  const { parts, signal } = ctx;
  const name = parts[1], id = parts[2] ?? ctx.query.get("id") ?? "";
  const first = await get(`/sagas${path(name, id)}`, { signal });
  const view = new View(ctx, name, id);
  view.build(first);
  view.show(first);
  view.follow();
  return view.element;
}

class View {
  constructor(ctx, name, id) {
    Object.assign(this, { ctx, name, id });
    this.address = `/sagas${path(name, id)}`;
    this.events = new EventTable(ctx, this.address);
    this.timeline = timeline(ctx.signal);
    this.steps = this.stepTable();
  }

  build({ saga }) {
    this.status = h("span");
    this.verdict = h("p", { class: "verdict" });
    this.facts = h("dl", { class: "facts" });
    this.actions = h("div", { class: "actions", role: "group", "aria-label": "Actions" });
    this.notice = h("div", { role: "status" });
    this.next = h("div");
    // Sixty steps need not push all else out of sight.
    this.stepPlace = (saga.steps ?? []).length > 14 ? scroller("All steps", this.steps.element) : h("div", null, this.steps.element);
    if (this.stepPlace.tabIndex === 0) this.stepPlace.classList.add("tall");
    this.graph = h("div", null, h("p", { class: "muted" }, "Loading the picture…"));
    const heading = h("h1", { data: { title: `${saga.saga} ${saga.id}` } }, h("span", { class: "h1-kind" }, word(saga.saga), h("span", { class: "sr" }, " ")), word(saga.id));
    this.columns = h("div", { class: "columns wide-left" },
      card("Graph", this.graph),
      h("div", { class: "stack" }, card("What comes next", this.next), card("Steps", this.stepPlace)));
    this.element = [
      h("div", { class: "page-head saga-head" }, heading, this.status),
      h("section", { class: "card hero", "aria-label": "Verdict" }, this.verdict, this.notice, this.actions, this.facts),
      this.columns,
      card("Timeline by service", this.timeline.element),
      card("Events", this.events.element),
    ];
    this.draw(saga);
    this.events.load();
  }

  async draw(saga) {
    if (saga.definition_unknown) {
      this.graph.replaceChildren(h("p", { class: "note" }, `Nobody has published ${saga.saga} version ${saga.version}: the steps are those that the log has named, and nothing can be said of what is to come.`));
      return;
    }
    try {
      const svg = await picture(saga.saga, saga.version, this.ctx.signal);
      if (!svg) throw new Error("it is no picture");
      this.svg = svg;
      this.columns.classList.toggle("one", isWide(svg));
      colour(svg, this.data.saga.steps ?? []);
      this.graph.replaceChildren(framed(svg, "The steps as a picture"));
    } catch (error) {
      if (this.ctx.signal.aborted) return;
      this.graph.replaceChildren(h("p", { class: "note" }, `The picture of the definition cannot be shown: ${error.message}`));
    }
  }

  show(data) {
    data.verdict ||= `${data.saga.status}, and the tracker was started without what says why`;
    const old = this.data?.verdict;
    this.data = data;
    const { saga } = data;
    this.ctx.freshness(data.freshness);
    this.status.replaceChildren(badge(saga.status));
    if (this.verdict.textContent !== data.verdict) this.verdict.replaceChildren(word(data.verdict));
    if (old !== undefined && old !== data.verdict) announce(data.verdict);
    this.facts.replaceChildren(...facts(data));
    this.steps.set(saga.steps ?? []);
    this.next.replaceChildren(...nextOf(data));
    if (this.svg) colour(this.svg, saga.steps ?? []);
    this.timeline.set(saga, data.definition);
    this.showActions(saga);
  }

  showActions(saga) {
    const list = this.ctx.may("operate") ? possible(saga) : [];
    const key = JSON.stringify(list);
    if (key === this.actionKey) return;
    this.actionKey = key;
    const after = (name, answer) => this.asked(name, answer);
    const rare = list.filter((a) => !a.main);
    this.actions.hidden = list.length === 0;
    this.actions.replaceChildren(
      ...list.filter((a) => a.main).map((a) => button(saga, a, { after })),
      ...(rare.length > 0 ? [h("details", { class: "more" }, h("summary", null, "More actions"), h("div", { class: "actions" }, rare.map((a) => button(saga, a, { after }))))] : []));
  }

  asked(name, answer) {
    this.notice.replaceChildren(h("p", { class: "note" }, icon("completed"), ` ${name}: asked`, answer?.event_id ? [" as event ", h("code", null, answer.event_id)] : "",
      ". The saga's own answer comes by its log, below."));
    this.reload();
  }

  async reload() {
    try {
      this.show(await get(this.address, { signal: this.ctx.signal }));
      this.events.load();
    } catch (error) {
      if (!this.ctx.signal.aborted) this.notice.replaceChildren(h("p", { class: "note tone-amber" }, error.message));
    }
  }

  follow() {
    const again = throttled(500, () => this.reload(), this.ctx.signal);
    live({ saga: this.name, id: this.id }, {
      saga: (s) => { if (s.id === this.id && s.saga === this.name) again(); },
      reset: again,
      freshness: this.ctx.freshness,
    }, this.ctx.signal);
    // A verdict counts down to a next attempt that no event tells of.
    const timer = setInterval(() => { if (!this.data.saga.ended_at) again(); }, 10000);
    this.ctx.signal.addEventListener("abort", () => clearInterval(timer));
  }

  stepTable() {
    return new Table({
      caption: "Steps",
      key: (x) => x.name,
      columns: [
        { title: "Step", cell: (x) => [h("strong", null, word(x.name)), x.pivot && h("span", { class: "tag" }, "pivot"), x.service && h("div", { class: "muted" }, word(x.service))] },
        { title: "Status", cell: (x) => badge(x.status) },
        { title: "Attempts", class: "num", cell: (x) => x.attempts || "–" },
        { title: "Took", class: "num", cell: (x) => x.ended_at ? duration(x.duration_seconds ?? seconds(x.ready_at, x.ended_at)) : x.ready_at ? ago(x.ready_at, { suffix: "", prefix: "since " }) : "–" },
        { title: "Error", cell: (x) => x.error ? h("div", { class: "reason" }, x.error.code && h("code", null, word(x.error.code)), " ", word(x.error.message)) : "" },
      ],
    });
  }
}

// How a saga is undone, by the strategy of its definition.
const undone = {
  reverse: "undone in reverse order", parallel: "undone in parallel", "best-effort": "undone as far as can be", custom: "undone in an order of its own",
};

function facts({ saga: s, definition }) {
  const fact = (name, ...value) => h("div", null, h("dt", null, name), h("dd", null, value));
  const cause = s.cause;
  return [
    fact("Definition", h("a", { href: definitionLink(s.saga, s.version) }, word(`${s.saga} v${s.version}`)), definition?.strategy ? h("span", { class: "muted" }, ` ${undone[definition.strategy] ?? definition.strategy}`) : ""),
    fact("Started", time(s.started_at), s.initiator && [h("span", { class: "muted" }, " by "), word(s.initiator)]),
    s.ended_at ? fact("Ended", time(s.ended_at), h("span", { class: "muted" }, ` after ${duration(seconds(s.started_at, s.ended_at))}`)) : fact("Last change", ago(s.updated_at)),
    s.deadline && !s.ended_at && fact("Deadline", time(s.deadline), " ", h("span", { class: "muted" }, ago(s.deadline))),
    cause && fact(s.status === "failed" ? "Failed by" : "Turned back by", cause.step ? [h("strong", null, word(cause.step)), " "] : "an abort ", cause.by && ["of ", word(cause.by), " "],
      cause.code && h("code", null, word(cause.code)), " ", word(cause.message), cause.note && [" “", word(cause.note), "”"]),
    ...(s.parked ?? []).map((p) => fact("Parked", h("strong", null, word(p.service)), " ", ago(p.since), " ", p.error && [h("code", null, word(p.error.code)), " ", word(p.error.message)])),
    Object.keys(s.tags ?? {}).length > 0 && fact("Tags", tagList(s.tags)),
    fact("Log", `partition ${s.partition}, ${plural(s.events ?? 0, "event")}`),
    s.trace_id && fact("Trace", h("code", { class: "break" }, word(s.trace_id))),
  ].filter(Boolean);
}

function nextOf({ saga: s, why }) {
  const list = s.next ?? [];
  const waits = s.ended_at ? [] : (why?.waits_for ?? (why?.service ? [why] : [])).slice(0, 10).map((w) => h("p", { class: "waits" }, icon("running"),
    h("span", null, "Waits for ", h("strong", null, word(w.service || "an operator")), w.step ? [w.run === "compensate" ? " to undo " : " at ", h("strong", null, word(w.step))] : "",
      w.attempt ? `, attempt ${w.attempt}` : "", w.due ? [", next ", ago(w.due)] : "", w.lag_events > 0 ? `, which is ${plural(w.lag_events, "event")} behind` : "",
      w.cause ? [": ", word(w.cause.message || w.cause.code)] : "", ".")));
  if (list.length === 0) {
    return [...waits, h("p", { class: "muted" }, s.ended_at ? "Nothing: the saga has ended." : s.definition_unknown ? "Nobody can say: its definition is not published." : "Nothing more is known.")];
  }
  return [...waits, h("ol", { class: "next" }, list.slice(0, 100).map((n) => h("li", { class: n.ready ? "ready" : null },
    badge(n.ready ? n.run === "compensate" ? "undoing" : "ready" : "idle", n.ready ? "now" : "then"),
    h("span", null, n.run === "compensate" ? "undo " : "", h("strong", null, word(n.step)), n.service ? [" in ", word(n.service)] : "",
      !n.ready && (n.waits_for ?? []).length > 0 ? h("span", { class: "muted" }, " after ", n.waits_for.map((w, i) => [i > 0 ? ", " : "", word(w)])) : "")))),
  list.length > 100 ? h("p", { class: "muted" }, `and ${list.length - 100} more`) : ""];
}
