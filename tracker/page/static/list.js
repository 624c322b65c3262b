// The list of sagas. Its filters live in the address, so that a link says what was looked at.
import { get, live, query as toQuery, throttled } from "./api.js";
import { announce, badge, empty, h, icon, Table, word } from "./dom.js";
import { ago, count, plural } from "./format.js";
import { listLink, sagaLink } from "./links.js";
import { statuses, stuckAt } from "./overview.js";

const many = ["saga", "version", "status", "step", "service", "code"];
const single = ["q", "started_from", "started_to", "updated_to"];
const quiet = [["", "any time"], ["60", "1 min"], ["600", "10 min"], ["3600", "1 h"], ["86400", "1 d"]];
const sorts = [["-started", "newest first"], ["started", "oldest first"], ["-updated", "changed last first"], ["updated", "silent for longest first"], ["-ended", "ended last first"]];

// read takes the state of the list from the address.
function read(q) {
  const state = {};
  for (const name of many) state[name] = q.getAll(name).filter((v) => v !== "");
  for (const name of single) state[name] = q.get(name) ?? "";
  state.sort = sorts.some(([v]) => v === q.get("sort")) ? q.get("sort") : "-started";
  state.silent = /^\d{1,9}$/.test(q.get("silent") ?? "") ? q.get("silent") : "";
  state.limit = ["25", "50", "100", "200"].includes(q.get("limit")) ? q.get("limit") : "50";
  state.after = q.get("after") ?? "";
  return state;
}

// address is the state as it stands in the address: what is as usual is left out.
function address(state) {
  return `/sagas${toQuery({ ...state, sort: state.sort === "-started" ? "" : state.sort, limit: state.limit === "50" ? "" : state.limit })}`;
}

// filter is what the API is asked by.
function filter(state) {
  const { silent, sort: _sort, limit: _limit, after: _after, ...rest } = state;
  if (silent) rest.updated_to = new Date(Date.now() - Number(silent) * 1000).toISOString();
  return rest;
}

export async function render(ctx) {
  const { signal, freshness } = ctx;
  const state = read(ctx.query);
  const view = new View(ctx, state);
  const [page, definitions] = await Promise.all([
    get("/sagas", { signal, params: { ...filter(state), sort: state.sort, limit: state.limit, after: state.after } }),
    get("/definitions", { signal }).catch(() => []),
  ]);
  freshness(page.freshness);
  view.build(Array.isArray(definitions) ? definitions : definitions.definitions ?? []);
  view.show(page);
  view.counts();
  view.follow();
  return view.elements;
}

class View {
  constructor(ctx, state) {
    Object.assign(this, { ctx, state, changes: 0 });
    this.table = new Table({
      caption: "Sagas",
      key: (s) => `${s.saga}/${s.id}`,
      columns: [
        { title: "Saga", class: "c-saga", cell: (s) => [
          h("a", { href: sagaLink(s.saga, s.id), class: "id" }, word(s.id)),
          h("div", { class: "muted" }, word(s.saga), ` v${s.version}`, tagList(s.tags))] },
        { title: "Status", class: "c-status", cell: (s) => badge(s.status) },
        { title: "Where it stands", class: "c-where", cell: where },
        { title: "Steps", class: "c-steps", cell: progress },
        { title: "Started", class: "nowrap", cell: (s) => ago(s.started_at) },
        { title: "Changed", class: "nowrap", cell: (s) => ago(s.updated_at) },
      ],
    });
  }

  build(definitions) {
    const { state } = this;
    const names = [...new Set([...definitions.map((d) => d.saga), ...state.saga])].sort();
    const change = (part) => this.change(part);
    const search = h("input", { id: "q", type: "search", value: state.q, placeholder: "Id, tag, or name=value", autocomplete: "off", spellcheck: "false" });
    const chips = statuses.map((name) => {
      const box = h("input", { type: "checkbox", checked: state.status.includes(name), value: name });
      box.addEventListener("change", () => change({ status: statuses.filter((s) => s === name ? box.checked : this.state.status.includes(s)) }));
      return h("label", { class: "chip" }, box, badge(name), h("span", { class: "chip-count", data: { chip: name } }));
    });
    const select = (id, label, options, value, onChange) => {
      const element = h("select", { id }, options.map(([v, text]) => h("option", { value: v, selected: v === value }, text)));
      element.addEventListener("change", () => onChange(element.value));
      return h("div", { class: "field" }, h("label", { for: id }, label), element);
    };
    const text = (name, label) => {
      const input = h("input", { id: `f-${name}`, value: state[name].join(", "), autocomplete: "off", spellcheck: "false" });
      input.addEventListener("change", () => change({ [name]: input.value.split(",").map((v) => v.trim()).filter((v) => v !== "") }));
      return h("div", { class: "field" }, h("label", { for: `f-${name}` }, label), input);
    };
    const instant = (name, label) => {
      const input = h("input", { id: `f-${name}`, type: "datetime-local", value: localInput(state[name]) });
      input.addEventListener("change", () => change({ [name]: input.value ? new Date(input.value).toISOString() : "" }));
      return h("div", { class: "field" }, h("label", { for: `f-${name}` }, label), input);
    };
    const form = h("form", { class: "filters", role: "search", "aria-label": "Sagas" },
      h("div", { class: "filter-row" },
        h("div", { class: "field grow" }, h("label", { for: "q" }, "Search"), h("span", { class: "with-icon" }, icon("search"), search)),
        select("f-saga", "Saga", [["", "all"], ...names.map((n) => [n, n])], state.saga[0] ?? "", (v) => change({ saga: v ? [v] : [] })),
        select("f-silent", "Silent for at least", quiet.some(([v]) => v === state.silent) ? quiet : [...quiet, [state.silent, `${state.silent} s`]], state.silent, (v) => change({ silent: v })),
        select("f-sort", "Sorted", sorts, state.sort, (v) => change({ sort: v }))),
      h("fieldset", { class: "chips" }, h("legend", null, "Status"), chips),
      h("details", { open: many.some((n) => !["saga", "status"].includes(n) && state[n].length > 0) || state.started_from !== "" || state.started_to !== "" },
        h("summary", null, "More filters"),
        h("div", { class: "filter-row" }, text("step", "Waits for step"), text("service", "Waits for service"), text("code", "Error code"), text("version", "Version"),
          instant("started_from", "Started from"), instant("started_to", "Started before"),
          select("f-limit", "Rows", [["25", "25"], ["50", "50"], ["100", "100"], ["200", "200"]], state.limit, (v) => change({ limit: v })))));
    let typed = null;
    const searchNow = () => { clearTimeout(typed); if (search.value.trim() !== this.state.q) change({ q: search.value.trim() }); };
    search.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(searchNow, 350); });
    form.addEventListener("submit", (event) => { event.preventDefault(); searchNow(); });
    this.ctx.signal.addEventListener("abort", () => clearTimeout(typed));

    this.found = h("p", { class: "found", role: "status" });
    this.liveMark = h("span", { class: "live" });
    this.place = h("div");
    this.clear = h("a", { href: listLink({}), class: "button" }, "Clear filters");
    this.pager = h("nav", { class: "pager", "aria-label": "Pages of the list" });
    this.elements = [
      h("div", { class: "page-head" }, h("h1", null, "Sagas"), this.liveMark),
      form,
      h("div", { class: "found-row" }, this.found, this.clear),
      this.place, this.pager,
    ];
  }

  // change takes a new filter: the address and the rows follow, the fields stay as they are.
  change(part) {
    Object.assign(this.state, part, "after" in part ? {} : { after: "" });
    history.pushState(null, "", this.base(address(this.state)));
    this.reload(true);
    this.counts();
    this.follow();
  }

  base(path) {
    return (document.documentElement.dataset.base ?? "") + path;
  }

  async reload(asked) {
    const { signal } = this.ctx;
    const state = this.state;
    const turn = this.turn = (this.turn ?? 0) + 1;
    if (asked) this.place.setAttribute("aria-busy", "true");
    try {
      const page = await get("/sagas", { signal, params: { ...filter(state), sort: state.sort, limit: state.limit, after: state.after } });
      if (turn !== this.turn) return;
      this.ctx.freshness(page.freshness);
      this.show(page);
    } catch (error) {
      if (signal.aborted || turn !== this.turn) return;
      if (error.code === "bad-cursor" || error.status === 400 && state.after) return this.change({ after: "" });
      this.place.replaceChildren(empty(error.title ?? "The list cannot be shown", error.message,
        h("button", { type: "button", on: { click: () => this.reload(true) } }, "Try again")));
    } finally {
      if (asked && turn === this.turn) this.place.removeAttribute("aria-busy");
    }
  }

  show(page) {
    const rows = (page.sagas ?? []).slice(0, 200);
    const filtered = address({ ...this.state, after: "", sort: "-started", limit: "50" }) !== "/sagas";
    this.clear.hidden = !filtered;
    if (rows.length === 0) {
      this.table.set([]);
      this.place.replaceChildren(filtered
        ? empty("No saga fits these filters", "Take one away, or search for a part of an id.", h("a", { class: "button", href: listLink({}) }, "Show all sagas"))
        : empty("No saga yet", "Start one, and it shows here by itself."));
    } else {
      this.table.set(rows);
      if (this.table.element.parentNode !== this.place) this.place.replaceChildren(this.table.element);
    }
    const go = (after) => h("a", { class: "button", href: this.base(address({ ...this.state, after })) }, after ? "Next page" : "First page");
    this.pager.replaceChildren(...[this.state.after && go(""), page.next && go(page.next)].filter(Boolean));
    this.pager.hidden = this.pager.children.length === 0;
  }

  // counts says how many fit, and how many would by status.
  async counts() {
    const { signal } = this.ctx;
    const state = this.state;
    const { status, ...rest } = filter(state);
    try {
      const { counts = [] } = await get("/counts", { signal, params: { ...rest, by: "status" } });
      if (state !== this.state) return;
      const of = Object.fromEntries(counts.map((c) => [c.key, c.count]));
      for (const chip of document.querySelectorAll("[data-chip]")) chip.textContent = count(of[chip.dataset.chip] ?? 0);
      const sum = counts.filter((c) => status.length === 0 || status.includes(c.key)).reduce((n, c) => n + c.count, 0);
      this.found.textContent = plural(sum, "saga");
    } catch { /* the list itself says what is wrong */ }
  }

  // follow keeps the rows that are shown up to date, and the page as a whole once in a while.
  follow() {
    this.line?.abort();
    this.line = new AbortController();
    const { signal } = this.ctx;
    signal.addEventListener("abort", () => this.line.abort());
    const again = throttled(2000, () => { this.reload(false); this.counts(); }, this.line.signal);
    live({ saga: this.state.saga }, {
      saga: (snapshot) => {
        this.table.patch(snapshot);
        again();
      },
      reset: again,
      freshness: this.ctx.freshness,
      state: (s) => {
        this.liveMark.className = `live ${s}`;
        this.liveMark.replaceChildren(h("i", { class: "dot", "aria-hidden": "true" }), s === "live" ? "live" : "not live: connecting again");
        if (s === "away") announce("The list is not live at the moment.");
      },
    }, this.line.signal);
  }
}

function localInput(iso) {
  const d = new Date(iso);
  if (iso === "" || Number.isNaN(d.getTime())) return "";
  return new Date(d - d.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

/** Tags in one line. */
export function tagList(tags) {
  const entries = Object.entries(tags ?? {});
  if (entries.length === 0) return null;
  return h("span", { class: "tags" }, entries.slice(0, 6).map(([name, value]) =>
    h("span", { class: "tag", title: `${name}=${value}` }, word(name), "=", word(value))));
}

/** In one cell: what a saga waits for, or why it was turned back. */
function where(s) {
  if (s.status === "stuck") return stuckAt(s);
  const parked = (s.parked ?? [])[0];
  if (s.status === "parked" && parked) {
    return h("div", { class: "reason" }, "by ", h("strong", null, word(parked.service)),
      h("div", { class: "muted" }, word(parked.error?.message || parked.error?.code)));
  }
  const ready = (s.next ?? []).filter((n) => n.ready);
  if (ready.length > 0) {
    return h("div", null, ready[0].run === "compensate" ? "undoes " : "waits for ", ready.slice(0, 3).map((n, i) => [i > 0 ? ", " : "", h("strong", null, word(n.step))]),
      ready.length > 3 ? ` and ${ready.length - 3} more` : "",
      ready[0].service ? [h("span", { class: "muted" }, " in "), h("span", { class: "muted" }, word(ready[0].service))] : "",
      s.cause && h("div", { class: "muted" }, cause(s.cause)));
  }
  return s.cause ? h("div", { class: "muted" }, cause(s.cause)) : s.ended_at ? h("span", { class: "muted" }, "ended ", ago(s.ended_at)) : null;
}

function cause(c) {
  return [c.step ? [word(c.step), ": "] : c.by ? ["abort by ", word(c.by), ": "] : "", word(c.message || c.note || c.code)];
}

// progress draws a segment for each step; beyond 24 they are summed up.
function progress(s) {
  const steps = s.steps ?? [];
  const done = steps.filter((x) => ["completed", "bypassed", "skipped"].includes(x.status)).length;
  const undone = steps.filter((x) => x.status === "compensated").length;
  const text = undone > 0 ? `${undone} undone` : `${done} of ${steps.length}`;
  return h("span", { class: "progress" }, h("span", { class: "segments", "aria-hidden": "true" },
    steps.slice(0, 24).map((x) => h("i", { class: `seg is-${x.status}` }))), h("span", { class: "progress-text" }, text));
}
