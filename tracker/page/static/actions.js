// What an operator may do with a saga. Each is confirmed with a reason, which goes into the log.
import { path, post } from "./api.js";
import { announce, freshID, h, icon, word } from "./dom.js";

const explain = {
  cancel: ["Cancel", "Ask the saga to turn back", "What its steps have done is undone. Past the pivot the answer is no."],
  retry: ["Retry now", "Run the handler again now", "It runs at once, whatever its retry policy says; attempts are counted anew."],
  done: ["Resolve as done", "Count the step as done", "Only if somebody has done by hand what the step should have: the saga goes on with this output."],
  undone: ["Resolve as undone", "Count the step as undone", "Only if somebody has undone it by hand: the saga goes on backwards."],
  release: ["Release", "Let the service try again", "The service that has parked the saga handles what waits. If it still cannot, it says why."],
  "force-abort": ["Force abort", "Turn the saga back by force", "Also what completed, or was kept after a failure, is undone. This cannot be taken back."],
};

// What stands around the name of the step or the service on a button.
const around = { retry: ["Retry", "now"], done: ["Resolve", "as done"], undone: ["Resolve", "as undone"], release: ["Release"] };

/** The actions that make sense where a saga stands: [{ kind, step, service }]. */
export function possible(s) {
  const list = [];
  const steps = s.steps ?? [];
  const committed = steps.some((x) => x.pivot && (x.status === "completed" || x.status === "bypassed"));
  for (const x of steps) {
    if (x.status === "stuck") list.push({ kind: "retry", step: x.name, main: true }, { kind: "done", step: x.name, main: true });
    if (x.status === "undo-failed") list.push({ kind: "retry", step: x.name, main: true }, { kind: "undone", step: x.name, main: true });
    if (x.status === "ready" && x.attempts > 0) list.push({ kind: "retry", step: x.name, main: false });
  }
  for (const p of s.parked ?? []) list.push({ kind: "release", service: p.service, main: true });
  const backwards = ["compensating", "compensated", "cancelling"].includes(s.status) || Boolean(s.cause) && s.status !== "failed";
  if (!s.ended_at && !committed && !backwards) list.push({ kind: "cancel", main: true });
  if (!committed && !backwards) list.push({ kind: "force-abort", main: false });
  return list;
}

/** A button for an action, which opens its dialog. */
export function button(s, action, { after } = {}) {
  const [name] = explain[action.kind];
  const target = action.step ?? action.service;
  const [before, behind] = around[action.kind] ?? [];
  return h("button", {
    type: "button", class: action.kind === "force-abort" ? "danger" : null, data: { action: action.kind },
    on: { click: () => confirm(s, action, after) },
  }, h("span", null, before && target ? [before, " ", word(target), behind && ` ${behind}`] : name));
}

function confirm(s, action, after) {
  const [name, title, text] = explain[action.kind];
  const reason = h("textarea", { id: freshID("reason"), required: true, rows: 2, maxlength: 1000 });
  const output = action.kind === "done" ? h("textarea", { id: freshID("output"), rows: 4, spellcheck: "false", class: "code" }) : null;
  const target = action.step ?? action.service;
  modal(title, [
    h("p", null, text),
    h("dl", { class: "facts" },
      h("div", null, h("dt", null, "Saga"), h("dd", null, word(`${s.saga} ${s.id}`))),
      target && h("div", null, h("dt", null, action.step ? "Step" : "Service"), h("dd", null, word(target)))),
    output && [h("label", { for: output.id }, "Output, as JSON (empty: none)"), output],
    h("label", { for: reason.id }, "Reason (others read it in the log)"), reason,
  ], name, action.kind === "force-abort", async () => {
    const body = { action: action.kind, reason: reason.value.trim() };
    if (body.reason === "") {
      reason.value = "";
      reason.reportValidity();
      throw new Error("Say why: others will ask.");
    }
    if (action.step) body.step = action.step;
    if (action.service) body.service = action.service;
    if (action.kind === "done" || action.kind === "undone") {
      body.action = "resolve";
      body.resolve = action.kind;
    }
    if (output && output.value.trim() !== "") {
      try { body.output = JSON.parse(output.value); } catch (error) {
        output.focus();
        throw new Error(`The output is no JSON: ${error.message}`);
      }
    }
    const answer = await post(`/sagas${path(s.saga, s.id)}/actions`, body);
    after?.(name, answer);
    announce(`${name}: asked. The saga's own answer comes by its log.`);
  });
}

/**
 * A dialog with one thing to confirm. run does it: when it throws, the dialog says why and stays.
 * Returning a node from run shows that instead of closing.
 */
export function modal(title, content, yes, danger, run) {
  const id = freshID("dialog");
  const error = h("p", { class: "error-text", role: "alert" });
  const go = h("button", { type: "submit", class: danger ? "danger solid" : "primary" }, yes);
  const close = h("button", { type: "button", on: { click: () => dialog.close() } }, "Not now");
  const body = h("div", { class: "dialog-body" }, content);
  const form = h("form", { novalidate: false }, h("h2", { id }, title), body, error, h("p", { class: "actions" }, go, close));
  const dialog = h("dialog", { "aria-labelledby": id },
    h("button", { type: "button", class: "ghost close", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close")), form);
  const opener = document.activeElement;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    go.disabled = true;
    try {
      const result = await run();
      if (!(result instanceof Node)) return dialog.close();
      body.replaceChildren(result);
      go.remove();
      close.textContent = "Close";
      close.focus();
    } catch (problem) {
      error.textContent = problem.title && problem.title !== problem.message ? `${problem.title}: ${problem.message}` : problem.message;
    } finally {
      go.disabled = false;
    }
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (opener?.isConnected) opener.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  (form.querySelector("textarea, input") ?? go).focus();
  return dialog;
}
