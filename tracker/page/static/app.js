// The frame of the page: navigation, routes, login, theme.
import { base, get, hasToken, Problem, setToken } from "./api.js";
import { announce, empty, h, icon } from "./dom.js";
import { count, duration, tick } from "./format.js";
import * as definitions from "./definitions.js";
import * as list from "./list.js";
import * as overview from "./overview.js";
import * as participants from "./participants.js";
import * as saga from "./saga.js";
import * as trouble from "./trouble.js";

const sections = [
  { path: "/", name: "Overview", icon: "overview" },
  { path: "/sagas", name: "Sagas", icon: "list" },
  { path: "/trouble", name: "Trouble", icon: "trouble" },
  { path: "/definitions", name: "Definitions", icon: "definitions" },
  { path: "/participants", name: "Participants", icon: "participants" },
];

const main = document.getElementById("main");
let me = null;
let current = new AbortController();

// route finds the page of an address.
function route(parts) {
  switch (`${parts[0] ?? ""}/${parts.length}`) {
    case "/0": return overview;
    case "sagas/1": return list;
    case "sagas/2": case "sagas/3": return saga; // the shorter one has the id in its query
    case "trouble/1": return trouble;
    case "definitions/1": case "definitions/3": return definitions;
    case "participants/1": return participants;
    default: return null;
  }
}

function partsOf(pathname) {
  const rest = pathname.slice(base.length).split("/").filter((p) => p !== "");
  try { return rest.map(decodeURIComponent); } catch { return ["", "", "no such address"]; }
}

async function show({ focus }) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const parts = partsOf(location.pathname);
  const page = route(parts);
  mark(parts);
  freshness(null);
  main.setAttribute("aria-busy", "true");
  const waiting = setTimeout(() => main.replaceChildren(h("p", { class: "loading" }, "Loading…")), 250);
  try {
    if (!page) throw new Problem(404, "There is no such page", "Choose one above.");
    me ??= await get("/me", { signal });
    if (signal.aborted) return;
    whoami();
    const content = await page.render({
      parts, signal, me, navigate, freshness,
      query: new URLSearchParams(location.search),
      may: (what) => Array.isArray(me?.may) && me.may.includes(what),
    });
    if (signal.aborted) return;
    clearTimeout(waiting);
    main.replaceChildren(...[content].flat());
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    clearTimeout(waiting);
    main.replaceChildren(error.status === 401 ? login() : failure(error));
  } finally {
    clearTimeout(waiting);
    if (!signal.aborted) main.setAttribute("aria-busy", "false");
  }
  const heading = main.querySelector("h1");
  document.title = heading ? `${heading.dataset.title ?? heading.textContent} · Choreo` : "Choreo";
  if (focus && heading) {
    heading.setAttribute("tabindex", "-1");
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

/** Goes to a page. */
function navigate(address, { replace = false } = {}) {
  const url = base + address;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  show({ focus: !replace });
}

// failure says what went wrong and what to do.
function failure(error) {
  if (!(error instanceof Problem)) console.error(error);
  const title = { 0: "The tracker does not answer", 403: "You may not see this" }[error.status]
    ?? (error instanceof Problem ? error.title : "This page has a fault");
  return h("div", { class: "failure", role: "alert" },
    h("h1", null, title),
    h("p", null, error.message),
    h("p", { class: "actions" },
      h("button", { type: "button", class: "primary", on: { click: () => { me = null; show({ focus: true }); } } }, "Try again"),
      h("a", { href: `${base}/`, class: "button" }, "To the overview"),
      error.status === 403 && h("button", { type: "button", on: { click: signOut } }, "Use another token")));
}

function login() {
  const refused = hasToken();
  setToken(null);
  me = null;
  whoami();
  const input = h("input", {
    id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false", "aria-describedby": "token-help",
  });
  const form = h("form", { class: "login card" },
    h("h1", null, "Sign in"),
    refused && h("p", { role: "alert", class: "error-text" }, "That token was not accepted. Check it and try again."),
    h("label", { for: "token" }, "Bearer token"),
    input,
    h("p", { id: "token-help", class: "muted" }, "Ask who runs the tracker for one. This tab keeps it until it is closed."),
    h("button", { type: "submit", class: "primary" }, "Sign in"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const value = input.value.trim();
    if (value === "") return;
    setToken(value);
    show({ focus: true });
  });
  return form;
}

function signOut() {
  setToken(null);
  me = null;
  show({ focus: true });
}

// The header.

const links = sections.map((p) => h("a", { href: `${base}${p.path}` }, icon(p.icon, 18), h("span", null, p.name)));
const fresh = h("span", { class: "fresh", id: "fresh" });
const who = h("span", { class: "who" });
const themeButton = h("button", { type: "button", class: "ghost", on: { click: switchTheme } }, icon("theme", 18), h("span", { class: "sr" }));

function frame() {
  document.getElementById("top").append(
    h("a", { class: "brand", href: `${base}/` },
      h("img", { src: new URL("./icon.svg", import.meta.url).pathname, alt: "", width: 26, height: 26 }), "Choreo"),
    h("nav", { "aria-label": "Pages" }, links),
    h("span", { class: "tools" }, fresh, who, themeButton));
  labelTheme();
}

function mark(parts) {
  sections.forEach((p, i) => {
    if ((parts[0] ?? "") === p.path.slice(1)) links[i].setAttribute("aria-current", "page");
    else links[i].removeAttribute("aria-current");
  });
}

/** Shows how far the tracker is behind. */
function freshness(f) {
  if (!f) return void fresh.replaceChildren();
  const behind = (f.lag_events ?? 0) > 0;
  const text = behind ? `${duration(f.lag_seconds ?? 0)} behind` : "up to date";
  fresh.className = `fresh ${behind && f.lag_seconds >= 5 ? "tone-amber" : ""}`;
  fresh.title = behind ? `The tracker has ${count(f.lag_events)} events still to read.` : "The tracker has read every event.";
  if (fresh.textContent !== text) fresh.replaceChildren(h("i", { class: "dot", "aria-hidden": "true" }), text);
}

function whoami() {
  who.replaceChildren(...(me && hasToken()
    ? [h("bdi", { class: "word" }, me.name ?? ""), h("button", { type: "button", class: "ghost", on: { click: signOut } }, "Sign out")]
    : []));
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function labelTheme() {
  const text = `Use the ${isDark() ? "light" : "dark"} theme`;
  themeButton.querySelector(".sr").textContent = text;
  themeButton.title = text;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("choreo-theme", theme); } catch { /* it lasts until the page is left */ }
  labelTheme();
  announce(`The ${theme} theme is on.`);
}

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  const hash = link.getAttribute("href");
  if (hash.startsWith("#")) {
    event.preventDefault();
    document.getElementById(hash.slice(1))?.focus();
    return;
  }
  if (link.pathname !== base && !link.pathname.startsWith(`${base}/`) || link.pathname.startsWith(`${base}/api/`)) return;
  event.preventDefault();
  navigate(link.pathname.slice(base.length) + link.search);
});
addEventListener("popstate", () => show({ focus: true }));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", labelTheme);
setInterval(tick, 1000);
frame();
show({ focus: false });
