// Acts that must not be done twice. Each has an idempotency key from when somebody confirms it, and keeps both until it is
// known how it ended: over answers that are lost, over a reload, over a login. They are kept for the tab, and sent only for
// the operator who confirmed them: in another's hands the same key would be another act.

import { ask, Refused, session } from "./api.js";

const PLACE = "remit-acts";
const TRIES = 3;
const PAUSE_S = 1;
// How long the gateway may wait for the end before it answers "pending".
const PREFER = "wait=10";
const NOTHING_BEGUN = ["unavailable", "overloaded"];
const ANOTHER = { status: 0, code: "another_operator", detail: "Who confirmed this is not logged in any more. Nobody else sends it." };
const HALF = { status: 0, code: "unreachable", detail: "The answer broke off." };

const underWay = new Set();
const kept = () => JSON.parse(sessionStorage.getItem(PLACE) ?? "[]");
const keep = (acts) => sessionStorage.setItem(PLACE, JSON.stringify(acts));
const put = (act) => keep([...kept().filter(({ key }) => key !== act.key), act]);

/** An act of whoever is logged in. `title` and `account` are for telling of it later. */
export async function confirmedAct({ kind, path, body, title, account }) {
  const by = (await session())?.user.id;
  if (!by) throw new Refused(ANOTHER, null);
  return { key: crypto.randomUUID(), by, at: new Date().toISOString(), kind, path, body, title, account, isUnknown: false };
}

/** Acts of whoever is logged in of which nobody here knows how they ended. */
export async function openActs() {
  if (kept().length === 0) return [];
  const by = (await session())?.user.id;
  // None is being sent from here: it may have been sent, and its answer was lost with the page.
  return kept().filter((act) => act.by === by && !underWay.has(act.key)).map((act) => ({ ...act, isUnknown: true }));
}

/** Lets go of an act, whatever became of it. */
export const forget = (act) => keep(kept().filter(({ key }) => key !== act.key));

/** Whether it is still open after this refusal: it was, or may have been, taken, and nobody has said how it ended. */
function staysOpen(act, error) {
  if (error.isUnsent) return act.isUnknown;
  if (error.transferId || error.code === "idempotency_key_reused") return false;
  act.isUnknown ||= !(error instanceof Refused) || error.status === 0 || error.code === "request_in_progress"
    || (error.status >= 500 && !NOTHING_BEGUN.includes(error.code));
  return act.isUnknown;
}

/** Does it, or finds out that it was done: {status, body}. A lost answer is asked for again under the same key.
 *
 * Throws `Refused`; with `isOpen` if nobody knows yet, and the same act may be carried again.
 */
export async function carried(act, onRetry) {
  if (underWay.has(act.key)) throw new Refused({ status: 0, code: "request_in_progress", detail: "It is being sent." }, null);
  underWay.add(act.key);
  put(act);
  try {
    for (let tries = 1; ; tries += 1) {
      try {
        const done = await sent(act);
        forget(act);
        return done;
      } catch (error) {
        error.isOpen = staysOpen(act, error);
        if (error.isOpen) put(act);
        else forget(act);
        if (!error.isOpen || tries === TRIES || error.code === "another_operator") throw error;
        onRetry?.(error);
        await pause(error.retryAfter ?? PAUSE_S * tries);
      }
    }
  } finally {
    underWay.delete(act.key);
  }
}

async function sent(act) {
  await his(act).catch((error) => {
    throw Object.assign(error, { isUnsent: true });
  });
  const response = await ask("POST", act.path, { body: act.body, headers: { "Idempotency-Key": act.key, Prefer: PREFER } });
  const body = await response.json().catch(() => {
    throw new Refused(HALF, null);
  });
  const item = body.items?.[0];
  if (item === undefined) return { status: response.status, body };
  if (item.problem) throw new Refused(item.problem, null);
  return { status: item.status_code, body: item.account };
}

async function his(act) {
  if ((await session())?.user.id !== act.by) throw new Refused(ANOTHER, null);
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
