// Times, durations and numbers as people read them.
import { h } from "./dom.js";

const minute = 60, hour = 3600, day = 86400;

/** A duration in seconds, in two units at most: "14 min", "2 h 5 min". */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const v = Math.max(0, seconds);
  if (v < 0.0005) return "0 ms";
  if (v < 1) return `${Math.round(v * 1000)} ms`;
  if (v < 10 && !Number.isInteger(v)) return `${v.toFixed(1)} s`;
  if (v < minute) return `${Math.round(v)} s`;
  if (v < hour) return two(v, minute, "min", 1, "s", 10 * minute);
  if (v < day) return two(v, hour, "h", minute, "min", day);
  return two(v, day, "d", hour, "h", 100 * day);
}

function two(v, big, bigName, small, smallName, limit) {
  let a = Math.floor(v / big);
  let b = Math.round((v - a * big) / small);
  if (b * small >= big) { a++; b = 0; }
  return b === 0 || v >= limit ? `${a} ${bigName}` : `${a} ${bigName} ${b} ${smallName}`;
}

const whole = new Intl.NumberFormat("en-US");

/** A number with its thousands apart. */
export function count(n) {
  return Number.isFinite(n) ? whole.format(n) : "–";
}

/** "1 saga", "2 sagas". */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  if (n < 1024) return `${n} B`;
  return n < 1024 * 1024 ? `${(n / 1024).toFixed(1)} kB` : `${(n / 1024 / 1024).toFixed(1)} MB`;
}

const pad = (n, size = 2) => String(n).padStart(size, "0");

function local(d, withMillis) {
  const date = `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  const clock = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  return `${date} ${clock}${withMillis ? "." + pad(d.getMilliseconds(), 3) : ""}`;
}

/** Local time of day: "14:03". */
export function clock(d) {
  return `${pad(d.getHours())}:${pad(d.getMinutes())}`;
}

function parse(iso) {
  const d = new Date(iso ?? NaN);
  return Number.isNaN(d.getTime()) || d.getUTCFullYear() < 1971 ? null : d;
}

function utc(d) {
  return `${d.toISOString().replace("T", " ").replace("Z", "")} UTC`;
}

/** An instant in local time, with UTC on hover. */
export function time(iso, { millis = false } = {}) {
  const d = parse(iso);
  if (!d) return h("span", { class: "muted" }, "–");
  return h("time", { datetime: d.toISOString(), title: utc(d) }, local(d, millis));
}

/** How long ago an instant is, kept up to date by tick. */
export function ago(iso, { suffix = " ago", prefix = "" } = {}) {
  const d = parse(iso);
  if (!d) return h("span", { class: "muted" }, "–");
  const element = h("time", { datetime: d.toISOString(), title: `${local(d)} · ${utc(d)}`, data: { suffix, prefix } });
  element.classList.add("ago");
  refresh(element);
  return element;
}

function refresh(element) {
  const seconds = (Date.now() - Date.parse(element.dateTime)) / 1000;
  const text = element.dataset.suffix === " ago" && seconds < 0
    ? `in ${duration(-Math.round(seconds))}`
    : element.dataset.suffix === " ago" && seconds < 1 ? "just now" : `${element.dataset.prefix}${duration(Math.max(0, Math.round(seconds)))}${element.dataset.suffix}`;
  if (element.textContent !== text) element.textContent = text;
}

/** Brings all that ago has made up to date. */
export function tick() {
  document.querySelectorAll("time.ago").forEach(refresh);
}

export function seconds(fromISO, toISO) {
  const a = parse(fromISO), b = parse(toISO);
  return a && b ? (b - a) / 1000 : NaN;
}

/** "choreo.step.completed" as "step completed". */
export function eventName(type) {
  return String(type ?? "").replace(/^choreo\./, "").replace(/[.-]/g, " ");
}
