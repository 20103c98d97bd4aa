// What pages are put together from: tables, states, badges, and the question before something is done.

import { Refused } from "./api.js";
import { h } from "./dom.js";

/** The page's heading, which takes the focus when the page is opened. */
export const heading = (text, ...beside) => h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, text), beside);

/** A part of a page under its own heading. */
export const section = (title, ...content) => h("section", {}, h("h2", {}, title), content);

const TONES = {
  completed: "good", success: "good", up: "good", ok: "good", approved: "good", verified: "good", replayed: "good",
  open: "good", balanced: "good",
  pending: "warn", warning: "warn", catching_up: "warn",
  failed: "bad", blocked: "bad", down: "bad", critical: "bad", broken: "bad", mismatch: "bad", unbalanced: "bad",
};

/** A state in a word; the colour repeats what the word says. */
export const badge = (state, text = state.replaceAll("_", " ")) =>
  h("span", { class: `badge ${TONES[state] ?? "calm"}` }, text);

/** A table that says what it is. Columns: {title, of: row => content, number, wide}. */
export function table(caption, columns, rows, { empty = "Nothing here.", hidesCaption = false } = {}) {
  if (rows.length === 0) return h("p", { class: "quiet" }, empty);
  const head = columns.map(({ title, number }) => h("th", { scope: "col", class: number && "number" }, title));
  const body = rows.map((row) =>
    h("tr", {}, columns.map(({ of, number, wide, title }) =>
      h("td", { class: [number && "number", wide && "wide"].filter(Boolean).join(" ") || null, "data-title": title }, of(row)))));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: hidesCaption && "unseen" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

const ROLES = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", th: "columnheader", td: "cell" };

/** A table whose rows are cards on a phone. What is laid out so is no table to a browser: the roles are said aloud. */
export function stacking(shown) {
  shown.classList.add("stacks");
  for (const part of shown.querySelectorAll(Object.keys(ROLES).join())) part.setAttribute("role", ROLES[part.localName]);
  return shown;
}

/** Pairs of a name and what it is. */
export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** An id in the type in which ids can be told apart. */
export const id = (text) => (text ? h("code", {}, text) : "–");

/** The beginning of an id where there is no room for all of it; where it leads, whoever follows sees the rest. */
export const shortId = (text, href) => (text ? h("a", { href, title: text }, h("code", {}, `${text.slice(0, 8)}…`)) : "–");

/** A sentence that stands out; `tone` is good, warn, bad or calm. */
export const notice = (tone, title, ...content) =>
  h("div", { class: `notice ${tone}` }, h("strong", {}, title), content.filter(Boolean).map((part) => h("p", {}, part)));

export const loading = (what) => h("p", { class: "quiet", "aria-busy": "true" }, `Asking for ${what} …`);

const ADVICE = {
  unreachable: "See that the gateway runs and that this machine reaches it. Nothing is lost: the page can be asked again.",
  broken_off: "Nothing was found out. Begin again; if it breaks off again, the pipeline's page says what is away.",
  unavailable: "A server behind the gateway is away; the pipeline's page says which one. Try again when it is back.",
  overloaded: "The gateway has more to do than it takes. Try again in a moment.",
  outcome_unknown: "It may or may not have been done. Look before you do it again.",
  account_not_empty: "Transfer or withdraw what is on it first.",
  rate_limited: "Wait, then try again.",
  forbidden: "Your user is no operator. Another operator can change that.",
};

/** What went wrong, and what to do about it. */
export function failure(error, again) {
  if (!(error instanceof Refused)) {
    console.error(error);
    return h("div", { role: "alert" }, notice("bad", "This page has failed.", "Load it anew. If it fails again, the browser's console says where."));
  }
  const advice = ADVICE[error.code] ?? (error.status >= 500 ? "The gateway's log has it under this request id." : "");
  const fields = error.errors.map((wrong) => `${wrong.field}: ${wrong.message}`);
  const wait = error.retryAfter ? `Try again after ${error.retryAfter} s.` : "";
  return h("div", { role: "alert" },
    notice("bad", error.message, ...fields, ...[advice, wait].filter(Boolean),
      ...(error.requestId && error.status >= 500 ? [h("span", { class: "quiet" }, "Request ", id(error.requestId))] : [])),
    again && h("button", { type: "button", click: again }, "Try again"));
}

const SLOW_MS = 8_000;
const SLOW = "The gateway has not answered yet. It may have much to do, or hang: the page waits on, and can be left.";

/** Fills `place` with what `make` gives, or with why it could not. An aborted page is left alone. */
export async function fill(place, what, make) {
  const asking = loading(what);
  const patience = setTimeout(() => (asking.textContent = SLOW), SLOW_MS);
  place.replaceChildren(asking);
  try {
    place.replaceChildren(...[await make()].flat());
  } catch (error) {
    if (error.name !== "AbortError") place.replaceChildren(failure(error, () => fill(place, what, make)));
  } finally {
    clearTimeout(patience);
  }
}

/** A control with its label. Names are unique on a page. */
export function field(label, control) {
  control.id = `field-${control.name}`;
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control);
}

/** A choice among a few. */
export const choice = (name, options, chosen) =>
  h("select", { name }, options.map(([value, text]) => h("option", { value, selected: value === (chosen ?? "") }, text)));

/** Asks before something is done; resolves to whether to do it. Says what will happen, not only that something will. */
export function confirmed({ title, says, act, isGrave = false }) {
  return new Promise((resolve) => {
    const answer = (value) => () => box.close(value);
    const box = h("dialog", { "aria-labelledby": "asked", close: () => (box.remove(), resolve(box.returnValue === "yes")) },
      h("h2", { id: "asked" }, title),
      says.map((line) => (line instanceof Node ? line : h("p", {}, line))),
      h("div", { class: "actions" },
        h("button", { type: "button", click: answer("no") }, "Cancel"),
        h("button", { type: "button", class: isGrave ? "grave" : "first", click: answer("yes") }, act)));
    document.body.append(box);
    box.showModal();
  });
}
