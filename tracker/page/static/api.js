// Asks the HTTP API under <base>/api/v1.

export const base = document.documentElement.dataset.base ?? "";
const root = `${base}/api/v1`;
const tokenKey = "choreo-token";

/** What went wrong, as the API tells it (RFC 9457), or that it could not be asked at all. */
export class Problem extends Error {
  constructor(status, title, detail, code) {
    super(detail || title);
    Object.assign(this, { name: "Problem", status, title, detail, code });
  }
}

let token = null;
try { token = sessionStorage.getItem(tokenKey); } catch { /* without storage it lasts until the page is left */ }

/** Keeps a bearer token for this tab; null forgets it. */
export function setToken(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(tokenKey);
    else sessionStorage.setItem(tokenKey, value);
  } catch { /* see above */ }
}

export function hasToken() {
  return token !== null;
}

/** Parameters of an address: { status: ["stuck"], q: "x" } as "?status=stuck&q=x". */
export function query(params) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    for (const v of [value].flat()) if (v !== undefined && v !== null && v !== "") q.append(name, v);
  }
  const text = q.toString();
  return text === "" ? "" : `?${text}`;
}

/** A path of the API, each part as it must be in an address: dots alone would be taken for a folder. */
export function path(...parts) {
  return parts.map((p) => `/${/^~*\.{1,2}$/.test(p) ? "~" : ""}${encodeURIComponent(p)}`).join("");
}

async function ask(address, options) {
  const headers = { Accept: "application/json", ...options.headers };
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(root + address, { ...options, headers, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The tracker does not answer", "It may be restarting, or the network is away. Sagas go on without it.");
  }
  if (!answer.ok) throw await problem(answer);
  return answer;
}

async function problem(answer) {
  let body = {};
  try { body = await answer.json(); } catch { /* no JSON: the status says it */ }
  return new Problem(answer.status, body.title || `The tracker answered ${answer.status}`, body.detail || "", body.code || "");
}

/** Reads JSON. */
export async function get(address, { signal, params } = {}) {
  return await (await ask(address + query(params), { signal })).json();
}

/** Reads text, a picture for one. */
export async function getText(address, { signal, accept } = {}) {
  return await (await ask(address, { signal, headers: { Accept: accept } })).text();
}

/** Sends JSON and reads the answer. */
export async function post(address, body, { signal } = {}) {
  const answer = await ask(address, {
    method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  return answer.status === 204 ? {} : await answer.json();
}

/**
 * Follows changes until the signal is aborted. It reads server-sent events through fetch, since
 * EventSource can carry no token, and asks again where it was when the line breaks. A tab that
 * nobody sees holds no line: browsers have only six to a server by HTTP/1.1, and other tabs
 * need theirs.
 * on: { saga(snapshot), reset(), freshness(f), state("live" | "away") }
 */
export async function live(params, on, signal) {
  const place = { lastID: "", first: true };
  let wait = 500;
  while (!signal.aborted) {
    await seen(signal);
    if (signal.aborted) return;
    const line = new AbortController();
    const drop = () => { if (signal.aborted || document.hidden || gone) line.abort(); };
    signal.addEventListener("abort", drop);
    document.addEventListener("visibilitychange", drop);
    addEventListener("pagehide", drop);
    try {
      await follow(params, on, line.signal, place);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) return void on.state?.("away");
    } finally {
      signal.removeEventListener("abort", drop);
      document.removeEventListener("visibilitychange", drop);
      removeEventListener("pagehide", drop);
    }
    if (place.live) wait = 500;
    place.live = false;
    if (signal.aborted) return;
    if (line.signal.aborted) continue; // nobody looks
    on.state?.("away");
    await pause(wait, signal);
    wait = Math.min(wait * 2, 15000);
  }
}

async function follow(params, on, signal, place) {
  const headers = { Accept: "text/event-stream" };
  if (place.lastID) headers["Last-Event-ID"] = place.lastID;
  const answer = await ask("/live" + query(params), { signal, headers });
  on.state?.("live");
  place.live = true;
  if (!place.first && !place.lastID) on.reset?.();
  place.first = false;
  for await (const event of events(answer.body)) {
    if (event.id) place.lastID = event.id;
    hand(event, on);
  }
}

// pause waits, but not longer than the signal does.
function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end, { once: true });
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      done();
    }
  });
}

// A page that was left may be kept as it is, to come back at once: until then it is gone.
let gone = false;
addEventListener("pagehide", () => { gone = true; });
addEventListener("pageshow", () => { gone = false; });

// seen waits until somebody sees the tab.
function seen(signal) {
  return new Promise((done) => {
    const look = () => {
      if ((document.hidden || gone) && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      removeEventListener("pageshow", look);
      signal.removeEventListener("abort", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    addEventListener("pageshow", look);
    signal.addEventListener("abort", look);
    look();
  });
}

function hand(event, on) {
  if (event.name === "reset") return on.reset?.();
  if (event.name !== "saga" && event.name !== "freshness") return;
  let data;
  try { data = JSON.parse(event.data); } catch { return; }
  if (event.name === "saga") on.saga?.(data);
  else on.freshness?.(data);
}

// The format: https://html.spec.whatwg.org/multipage/server-sent-events.html
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "", event = { name: "message", data: "", id: "" };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value;
    const lines = buffer.split(/\r\n|\n|\r(?!$)/);
    buffer = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== "" || event.name !== "message") yield event;
        event = { name: "message", data: "", id: "" };
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") event.name = text;
      else if (field === "data") event.data += (event.data ? "\n" : "") + text;
      else if (field === "id") event.id = text;
    }
  }
}

/** Calls fn soon, and at most once in so many milliseconds, however often it is asked to. */
export function throttled(milliseconds, fn, signal) {
  let timer = null, last = 0;
  return () => {
    if (timer !== null || signal.aborted) return;
    timer = setTimeout(() => {
      timer = null;
      last = Date.now();
      if (!signal.aborted) fn();
    }, Math.max(100, last + milliseconds - Date.now()));
  };
}
