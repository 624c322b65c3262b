// The timeline of one saga: a lane for each service, its steps above the middle line and its
// compensations, mirrored, below it.
import { h, icon, tone } from "./dom.js";
import { clock, duration } from "./format.js";

const rowHeight = 24, gap = 3;

/** The timeline: { element, set(snapshot, definition) }. */
export function timeline(signal) {
  const element = h("div", { class: "timeline" });
  let snapshot = null, definition = null;
  const draw = () => snapshot && element.replaceChildren(...drawn(snapshot, definition, element.clientWidth || 900));
  let width = 0;
  const watch = new ResizeObserver(() => {
    if (element.clientWidth !== width) { width = element.clientWidth; draw(); }
  });
  watch.observe(element);
  const timer = setInterval(() => snapshot && !snapshot.ended_at && draw(), 5000); // what runs grows
  signal.addEventListener("abort", () => { watch.disconnect(); clearInterval(timer); });
  return { element, set(s, d) { snapshot = s; definition = d; draw(); } };
}

/** The bars of a saga: what ran when, by service. A running one has no end. */
export function bars(snapshot, definition) {
  const at = (iso) => iso ? Date.parse(iso) : NaN;
  const steps = snapshot.steps ?? [];
  const turned = Math.min(...steps.filter((x) => x.status === "failed" || x.name === snapshot.cause?.step).map((x) => at(x.ended_at)).filter(Number.isFinite));
  const dependents = new Map();
  for (const d of definition?.steps ?? []) {
    for (const before of [...(d.after ?? []), ...(d.uses ?? [])]) dependents.set(before, [...(dependents.get(before) ?? []), d.name]);
  }
  const byName = new Map(steps.map((x) => [x.name, x]));
  const list = [];
  for (const x of steps) {
    const from = at(x.ready_at);
    if (Number.isFinite(from)) {
      const open = x.status === "ready" || x.status === "stuck";
      list.push({ step: x, undo: false, from, to: open ? NaN : Number.isFinite(at(x.ended_at)) ? at(x.ended_at) : from,
        status: { undoing: "completed", compensated: "completed", "undo-failed": "completed" }[x.status] ?? x.status });
    }
    if (!["undoing", "compensated", "undo-failed"].includes(x.status)) continue;
    // A compensation begins when the saga has turned back and those that built on the step are undone.
    const starts = [turned, at(x.ended_at), ...(dependents.get(x.name) ?? []).map((n) => at(byName.get(n)?.undone_at))].filter(Number.isFinite);
    const to = at(x.undone_at);
    if (starts.length > 0 || Number.isFinite(to)) {
      const begin = starts.length > 0 ? Math.max(...starts) : to;
      list.push({ step: x, undo: true, from: Number.isFinite(to) ? Math.min(begin, to) : begin, to: x.status === "undoing" ? NaN : to, status: x.status });
    }
  }
  return list;
}

function drawn(snapshot, definition, width) {
  const list = bars(snapshot, definition);
  if (list.length === 0) return [h("p", { class: "muted" }, "No step has been triggered yet.")];
  const start = Date.parse(snapshot.started_at);
  const closed = Math.max(start, ...list.map((b) => Number.isFinite(b.to) ? b.to : b.from));
  const open = list.some((b) => !Number.isFinite(b.to));
  const end = Math.max(start + 1, open ? Math.max(Date.now(), closed) : closed);
  const narrow = width < 640;
  const label = narrow ? 0 : 150;
  const room = width - label - 16;
  const x = (t) => (t - start) / (end - start) * room;
  const lanes = new Map();
  for (const b of list) {
    const service = b.step.service ?? "";
    if (!lanes.has(service)) lanes.set(service, { forward: [], back: [] });
    lanes.get(service)[b.undo ? "back" : "forward"].push(b);
  }
  const axis = h("div", { class: "axis", "aria-hidden": "true" }, ticks(end - start, room).map(([part, text]) => {
    const t = h("span", { class: part > 0.9 ? "last" : null }, text);
    t.style.left = `${label + 8 + part * room}px`;
    return t;
  }));
  return [axis, h("ul", { class: "lanes" }, [...lanes].map(([service, lane]) => laneOf(service, lane, { x, end, room, label, narrow })))];
}

function laneOf(service, lane, view) {
  const forward = pack(lane.forward, view), back = pack(lane.back, view);
  const up = Math.max(1, ...forward.map((p) => p.row + 1)), down = back.length === 0 ? 0 : Math.max(...back.map((p) => p.row + 1));
  const track = h("ol", { class: "track" });
  track.style.height = `${(up + down) * rowHeight + gap * 2}px`;
  const middle = h("li", { class: "middle", role: "presentation", "aria-hidden": "true" });
  middle.style.top = `${up * rowHeight + gap}px`;
  for (const p of forward) track.append(bar(p, (up - 1 - p.row) * rowHeight, view));
  if (down > 0) track.append(middle);
  for (const p of back) track.append(bar(p, up * rowHeight + gap * 2 + p.row * rowHeight, view));
  return h("li", { class: "lane" }, h("bdi", { class: "lane-name word", title: service }, service || "no service"), track);
}

// pack puts bars into rows so that none covers another's name.
function pack(list, { x, end, room }) {
  const rows = [];
  return [...list].sort((a, b) => a.from - b.from).map((b) => {
    const left = x(b.from), width = Math.max(6, x(Number.isFinite(b.to) ? b.to : end) - left);
    const name = Math.min(260, 34 + b.step.name.length * 7.4);
    const inside = width >= name;
    const before = !inside && left + width + name > room && left > name;
    const from = before ? left - name : left, to = inside || before ? left + width : left + width + name;
    let row = rows.findIndex((until) => until <= from);
    if (row < 0) row = rows.length;
    rows[row] = to + 6;
    return { ...b, left, width, inside, before, row, nameWidth: Math.min(name, room - left - width > 40 || before || inside ? name : 40) };
  });
}

function bar(p, top, view) {
  const took = (Number.isFinite(p.to) ? p.to : view.end) - p.from;
  const what = p.undo ? "compensation" : "step";
  const text = `${p.step.name}, ${what}, ${p.status}, ${duration(took / 1000)}${p.step.attempts > 1 ? `, ${p.step.attempts} attempts` : ""}`;
  const at = `${clock(new Date(p.from))}, ${new Date(p.from).toISOString().slice(11, 19)} UTC`;
  const box = h("span", { class: `span tone-${tone(p.status)} ${p.undo ? "undo" : ""} ${Number.isFinite(p.to) ? "" : "open"}`, "aria-hidden": "true" });
  box.style.left = `${p.left}px`;
  box.style.width = `${p.width}px`;
  const name = h("bdi", { class: `span-name tone-${tone(p.status)} ${p.inside ? "inside" : ""} ${p.before ? "before" : ""}`, "aria-hidden": "true" },
    icon(p.status, 12), h("span", null, p.step.name));
  name.style.left = `${p.inside ? p.left : p.before ? p.left - p.nameWidth : p.left + p.width}px`;
  name.style.width = `${p.inside ? p.width : p.nameWidth}px`;
  const li = h("li", { title: `${text}; from ${at}` }, h("span", { class: "sr" }, text), box, name);
  li.style.top = `${top}px`;
  return li;
}

// ticks are places on the axis and how long after the start they are.
function ticks(milliseconds, room) {
  const most = Math.max(2, Math.floor(room / 110));
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5];
  let step = steps.find((v) => milliseconds / v <= most) ?? Math.ceil(milliseconds / most / 864e5) * 864e5;
  step = Math.max(step, milliseconds / 50);
  const list = [];
  for (let t = 0; t <= milliseconds; t += step) list.push([t / milliseconds, t === 0 ? "start" : `+${duration(t / 1000)}`]);
  return list;
}
