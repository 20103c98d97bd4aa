// An act from its confirmation to its end, as people see it: what is being done, how it ended, and what is still open.

import { get } from "../api.js";
import { carried, confirmedAct, forget, openActs } from "../acts.js";
import { h } from "../dom.js";
import { clock, money, words } from "../format.js";
import { confirmed, facts, failure, id, notice } from "../parts.js";

/** Asks, then does it once; resolves to whether it was done. `place` shows what goes on; `onEnd(done, act, place)` is
 * called as soon as an end is known, now or when it is asked for again: with {status, body}, or null if it was refused. */
export async function acted(question, act, place, onEnd) {
  if (!(await confirmed(question))) return false;
  try {
    return await tried(await confirmedAct(act), place, onEnd);
  } catch (error) {
    place.replaceChildren(failure(error));
    return false;
  }
}

async function tried(act, place, onEnd) {
  const told = (text) => {
    place.replaceChildren(h("p", { class: "quiet", "aria-busy": "true" }, text));
    place.scrollIntoView({ block: "nearest" });
  };
  told(`${act.title}: it is being done …`);
  try {
    const done = await carried(act, (error) => told(`${error.message} Asking again with the same key …`));
    place.replaceChildren(ended(act, done));
    onEnd?.(done, act, place);
    return true;
  } catch (error) {
    place.replaceChildren(error.isOpen ? openNotice(act, place, onEnd, error.message) : refused(error));
    if (!error.isOpen) onEnd?.(null, act, place);
    return false;
  } finally {
    place.scrollIntoView({ block: "nearest" });
  }
}

const DONE = { deposit: "Deposited", withdrawal: "Withdrawn", opening: "Opened" };

function ended(act, { status, body }) {
  const isOpening = act.kind === "opening";
  const account = isOpening ? body.id : act.account;
  const what = isOpening ? body.name : money(body.amount, body.currency);
  const links = [
    !isOpening && h("a", { href: `#/transfers/${body.id}` }, "The transfer"),
    isOpening && h("a", { href: `#/accounts/${account}` }, "The account"),
    h("a", { href: `#/ledger/${account}` }, "The statement"),
  ].filter(Boolean);
  const isPending = status === 202;
  const title = isPending ? `Taken, not ended yet: ${act.title}.` : `${DONE[act.kind]}: ${what}.`;
  return notice(isPending ? "warn" : "good", title,
    isPending && "It will end by itself and needs no second order. The pipeline's page says what it waits for.",
    h("span", { class: "links" }, links));
}

function refused(error) {
  const { transferId, reasons = [] } = error;
  const told = failure(error);
  told.querySelector(".notice").append(...[
    reasons.length > 0 && h("ul", { class: "problems" }, reasons.map(({ code, limit, usage, attempted }) =>
      h("li", {}, `${words(code)}: at most ${limit}, used ${usage}, attempted ${attempted}`))),
    transferId && h("p", {}, h("a", { href: `#/transfers/${transferId}` }, "The transfer that was refused")),
  ].filter(Boolean));
  return told;
}

/** What this operator confirmed in this tab and nobody knows the end of. Empty as long as all is known. */
export function unsettled(signal, onEnd) {
  const place = h("div", {});
  const drawn = (act) => {
    const one = h("div", { role: "status" });
    one.replaceChildren(openNotice(act, one, onEnd));
    return one;
  };
  const look = () => openActs().then(
    (acts) => signal.aborted || place.replaceChildren(...acts.map(drawn)),
    (error) => signal.aborted || place.replaceChildren(failure(error, look)));
  look();
  return place;
}

function openNotice(act, place, onEnd, why) {
  const button = (text, click, style) => h("button", { type: "button", class: style, click }, text);
  const isOpening = act.kind === "opening";
  return h("div", { role: "alert" }, notice("warn", `Not known whether it was done: ${act.title}`, why,
    `Confirmed at ${clock(act.at)} UTC. Asking again sends the same key: if it was done, you are told how it ended; if not, it is done now. It cannot happen twice.`,
    h("span", { class: "actions" },
      button("Ask again", () => tried(act, place, onEnd), "first"),
      !isOpening && button("Only look", () => looked(act, place, onEnd)),
      button("Forget it …", () => dropped(act, place)))));
}

/** Whether it was taken, without doing it. */
async function looked(act, place, onEnd) {
  try {
    const { items: [transfer] } = await get("/admin/transfers", { idempotency_key: act.key });
    if (!transfer) {
      place.replaceChildren(openNotice(act, place, onEnd, "No transfer has its key at this moment: it has not reached the bank, or is still on its way."));
      return;
    }
    if (transfer.status !== "pending") {
      forget(act);
      onEnd?.(null, act, place);
    }
    place.replaceChildren(notice({ completed: "good", pending: "warn" }[transfer.status] ?? "bad",
      `It was taken, and is ${transfer.status}: ${act.title}`,
      h("span", { class: "links" }, h("a", { href: `#/transfers/${transfer.id}` }, "The transfer"), h("a", { href: `#/ledger/${act.account}` }, "The statement"))));
  } catch (error) {
    place.replaceChildren(failure(error, () => looked(act, place, onEnd)));
  }
}

async function dropped(act, place) {
  const says = ["The console forgets its key. What was done stays done, and is in the account's statement.",
    "If you order the same again afterwards, it is another order and may be done a second time."];
  if (!(await confirmed({ title: "Forget this order?", says, act: "Forget it", isGrave: true }))) return;
  forget(act);
  place.replaceChildren();
}

/** The facts of a question. */
export const asked = (pairs) => {
  const made = facts(pairs);
  made.classList.add("asked");
  return made;
};

/** What a question says of orders for the same account that are still open: this one would be done besides them. */
export async function besides(account) {
  const acts = (await openActs()).filter((act) => act.account === account);
  return acts.map(({ title, at }) =>
    notice("warn", "This is another order, done besides the one before.", `${title}, confirmed at ${clock(at)} UTC, is still open: nobody knows yet whether it was done. To settle that one, cancel here and ask again for it.`));
}

/** An account in a question. */
export const named = (account, owner) => [["Account", [account.name, " ", id(account.id)]], ["Owner", owner]];
