// What was started and what ended in each of the last 60 minutes.
import { h, s, scroller } from "./dom.js";
import { clock, count } from "./format.js";

const ended = ["completed", "compensated", "failed"];
const all = ["started", ...ended];
const height = 190, top = 10, bottom = 24, left = 44, right = 8;

/** The chart: { element, set(points) }. It draws itself anew when its width changes. */
export function perMinute(signal) {
  let points = [];
  const picture = h("div", { class: "chart" });
  const table = h("div");
  const details = h("details", null, h("summary", null, "As a table"), table);
  details.addEventListener("toggle", () => details.open && table.replaceChildren(asTable(points)));
  const element = h("div", null, legend(), picture, details);
  const draw = () => picture.replaceChildren(drawn(points, Math.max(280, picture.clientWidth || 900)));
  const watch = new ResizeObserver(draw);
  watch.observe(picture);
  signal.addEventListener("abort", () => watch.disconnect());
  return {
    element,
    set(next) {
      points = next;
      draw();
      if (details.open) table.replaceChildren(asTable(points));
    },
  };
}

function legend() {
  return h("ul", { class: "legend" }, all.map((name) =>
    h("li", null, s("svg", { width: 18, height: 12, "aria-hidden": "true" }, name === "started"
      ? s("path", { class: "c-started", d: "M1 9L6 4L11 7L17 2" })
      : s("rect", { class: `c-${name}`, x: 3, y: 1, width: 12, height: 10, rx: 2 })), name)));
}

function drawn(points, width) {
  const total = (name) => points.reduce((n, p) => n + (p[name] ?? 0), 0);
  const most = nice(Math.max(1, ...points.map((p) => Math.max(p.started ?? 0, ended.reduce((n, e) => n + (p[e] ?? 0), 0)))));
  const inner = width - left - right, floor = height - bottom, tall = floor - top;
  const y = (n) => floor - n / most * tall;
  const slot = inner / Math.max(1, points.length);
  const svg = s("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Per minute over the last hour: ${all.map((n) => `${count(total(n))} ${n}`).join(", ")} in all.`,
  });
  for (const part of [0, 0.5, 1]) {
    const value = most * part;
    if (!Number.isInteger(value)) continue;
    svg.append(s("path", { class: "grid", d: `M${left} ${y(value)}H${width - right}` }),
      s("text", { x: left - 8, y: y(value) + 4, "text-anchor": "end" }, count(value)));
  }
  const line = [];
  const every = width < 600 ? 15 : 10;
  points.forEach((p, i) => {
    const x = left + i * slot;
    const at = new Date(p.at);
    const group = s("g", { class: "minute" },
      s("title", null, `${clock(at)} (${at.toISOString().slice(11, 16)} UTC): ${all.map((n) => `${count(p[n] ?? 0)} ${n}`).join(", ")}`),
      s("rect", { class: "hit", x, y: top, width: slot, height: tall }));
    let sum = 0;
    for (const name of ended) {
      const n = p[name] ?? 0;
      if (n > 0) {
        group.append(s("rect", { class: `c-${name}`, x: x + slot * 0.14, y: y(sum + n), width: slot * 0.72, height: Math.max(1, y(sum) - y(sum + n)) }));
      }
      sum += n;
    }
    svg.append(group);
    if (at.getMinutes() % every === 0 && x > left + 4 && x < width - right - 30) {
      svg.append(s("text", { x: x + slot / 2, y: height - 6, "text-anchor": "middle" }, clock(at)));
    }
    line.push(`${line.length === 0 ? "M" : "L"}${(x + slot / 2).toFixed(1)} ${y(p.started ?? 0).toFixed(1)}`);
  });
  if (line.length > 0) svg.append(s("path", { class: "c-started", d: line.join("") }));
  if (all.every((n) => total(n) === 0)) {
    svg.append(s("text", { class: "quiet", x: left + inner / 2, y: top + tall / 4 + 4, "text-anchor": "middle" }, "Nothing was started or ended"));
  }
  return svg;
}

// nice rounds up to a number that divides well.
function nice(n) {
  const size = 10 ** Math.floor(Math.log10(n));
  for (const step of [1, 2, 4, 6, 8, 10]) if (step * size >= n) return Math.max(2, step * size);
  return n;
}

function asTable(points) {
  return scroller("Started and ended per minute", h("table", { class: "table plain" },
    h("caption", { class: "sr" }, "Started and ended per minute over the last hour"),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Minute"), all.map((n) => h("th", { scope: "col", class: "num" }, n)))),
    h("tbody", null, [...points].reverse().filter((p) => all.some((n) => p[n] > 0)).map((p) => h("tr", null,
      h("th", { scope: "row" }, h("time", { datetime: p.at, title: `${p.at} (UTC)` }, clock(new Date(p.at)))),
      all.map((n) => h("td", { class: "num" }, count(p[n] ?? 0))))))));
}
