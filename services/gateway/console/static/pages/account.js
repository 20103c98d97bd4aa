// One account: whose it is, what is on it, and what an operator may do to it.

import { ask, get } from "../api.js";
import { h, once } from "../dom.js";
import { count, isZero, likewise, money, moment } from "../format.js";
import { badge, confirmed, facts, failure, field, fill, heading, id as code, notice, section } from "../parts.js";
import { found, missing, ownerOf } from "./accounts.js";
import { acted, asked, besides, named, unsettled } from "./acting.js";

const LOOKS = 8;
const LOOK_MS = 400;

const MOVES = {
  deposit: { verb: "Deposit", path: "/admin/deposits", grows: "more", way: "comes from" },
  withdrawal: { verb: "Withdraw", path: "/admin/withdrawals", grows: "less", way: "goes to" },
};

export async function show(main, { id, signal }) {
  const done = h("div", { role: "status", tabindex: "-1" });
  const [card, doing] = [h("div", {}), h("div", {})];
  const title = heading("Account");
  const parts = { id, done, card, signal };
  const onEnd = (ended, act, place) => {
    if (act.account !== id) return;
    again(parts);
    if (ended?.status === 201) booked(ended.body.id, id, place, signal);
  };
  Object.assign(parts, { onEnd, look: async () => {
    const before = parts.account;
    const account = (parts.account = await found(id, signal));
    if (!account) return missing();
    title.querySelector("h1").textContent = account.name;
    // What somebody has begun to write stays.
    if (before?.is_deleted !== account.is_deleted) doing.replaceChildren(...acts(account, parts));
    return summary(account);
  } });
  main.replaceChildren(title, h("p", { class: "back" }, h("a", { href: "#/accounts" }, "All accounts")), unsettled(signal, onEnd), done, card, doing);
  await fill(card, "the account", parts.look);
}

const summary = (account) => h("div", { class: "card" },
  h("p", { class: "amount" }, money(account.balance, account.currency), " ", badge(account.is_deleted ? "closed" : "open")),
  facts([
    ["Account", code(account.id)],
    ["Owner", owner(account)],
    ["Opened (UTC)", moment(account.created_at)],
    ["Changed (UTC)", moment(account.updated_at)],
    ["Times moved", count(account.account_seq)],
  ]),
  h("p", { class: "links" },
    h("a", { href: `#/ledger/${account.id}` }, "Statement and verification"),
    account.owner_id && h("a", { href: `#/accounts?text=${account.owner_id}&closed=1` }, "All accounts of its owner"),
    h("a", { href: `#/audit?resource_type=account&resource_id=${account.id}` }, "Its rows in the audit log")));

function owner(account) {
  const name = ownerOf(account);
  return account.owner_id && name !== account.owner_id ? [name, h("br"), h("small", {}, code(account.owner_id))] : name;
}

function acts(account, parts) {
  if (!account.owner_id) {
    return [h("p", { class: "quiet" }, "A settlement account stands for the world outside of the bank: deposits and withdrawals of customers move it, and nothing else does.")];
  }
  if (account.is_deleted) {
    return [section("Restore", h("p", {}, "It is hidden from its owner and takes no transfer. Its history stayed where it was."),
      h("button", { type: "button", class: "first", click: once(() => turn(RESTORING, parts)) }, "Restore …"))];
  }
  return [
    section("Move money", moving(account, parts)),
    section("Close", h("p", {}, "An empty account can be closed. Its history stays, and it can be restored."),
      h("button", { type: "button", class: "grave", click: once(() => turn(CLOSING, parts)) }, "Close …")),
  ];
}

function moving(account, parts) {
  const amount = h("input", { name: "amount", size: 18, inputmode: "decimal", autocomplete: "off", required: true,
    pattern: "[0-9]{1,40}(\\.[0-9]{1,40})?", title: "Digits, with a point before the decimals: 1234.50", input: () => amount.setCustomValidity("") });
  const form = h("form", { class: "row", submit: once(async ({ submitter }) => {
    const exact = likewise(amount.value.trim(), account.balance);
    amount.setCustomValidity(exact === null ? `${account.currency} has no such decimals.` : "");
    if (!form.reportValidity()) return;
    const description = form.elements.description.value.trim();
    if (await move(submitter.value, exact, description, parts)) form.reset();
  }) },
  field(`Amount, ${account.currency}`, amount),
  field("Description, if any", h("input", { name: "description", size: 30, maxlength: 500, autocomplete: "off" })),
  Object.entries(MOVES).map(([kind, { verb }]) => h("button", { type: "submit", value: kind }, `${verb} …`)));
  return form;
}

/** Whether it was done. */
async function move(kind, amount, description, parts) {
  const { verb, path, grows, way } = MOVES[kind];
  const account = await looked(parts);
  if (!account) return false;
  const before = await besides(account.id).catch((error) => [failure(error)]);
  const sum = money(amount, account.currency);
  const question = {
    title: `${verb} ${sum}?`, act: `${verb} ${sum}`, isGrave: kind === "withdrawal",
    says: [
      ...before,
      asked([
        ...named(account, ownerOf(account)),
        ["Amount", sum],
        ["Balance now", money(account.balance, account.currency)],
        ["Balance afterwards", `${sum} ${grows} than now, if nothing else moves it meanwhile`],
        ...(description ? [["Description", description]] : []),
      ]),
      `The money ${way} outside of the bank: the settlement account of ${account.currency} is the other side. It counts against no limit, and is audited under your name.`,
    ],
  };
  const act = {
    kind, path, account: account.id, title: `${verb} ${sum} ${kind === "deposit" ? "into" : "from"} “${account.name}”`,
    body: { account_id: account.id, amount, currency: account.currency, ...(description ? { description } : {}) },
  };
  return acted(question, act, parts.done, parts.onEnd);
}

/** The account as it is now, for a question; what stands in the way is told in place of asking. */
async function looked(parts) {
  const { done, card, look } = parts;
  try {
    card.replaceChildren(await look());
    return parts.account;
  } catch (error) {
    if (error.name !== "AbortError") done.replaceChildren(failure(error));
    return null;
  }
}

/** The page shows the account as it has become; if it cannot be asked for, what is shown stays. */
async function again(parts) {
  const shown = await parts.look().catch(() => null);
  if (shown) parts.card.replaceChildren(shown);
  return shown && parts.account;
}

/** Adds the balances before and after, from the ledger's own entry, once it is there. */
async function booked(transfer, account, place, signal) {
  const line = h("p", {}, "The ledger books it …");
  place.querySelector(".links").parentElement.before(line);
  for (let looks = 0; looks < LOOKS && !signal.aborted; looks += 1) {
    const { items } = await get(`/transfers/${transfer}/timeline`, {}, signal).catch(() => ({ items: [] }));
    const entry = items.find(({ stage, detail }) => stage === "ledger" && detail.account_id === account)?.detail;
    if (entry) {
      line.replaceChildren(`Balance before ${money(entry.balance_before, entry.currency)}, afterwards ${money(entry.balance_after, entry.currency)}; entry ${entry.account_seq} of the account.`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  line.replaceChildren("The ledger has not booked it yet; the statement shows it when it has.");
}

const CLOSING = {
  isClosed: true, method: "DELETE", path: (id) => `/admin/accounts/${id}`, done: "Closed.", title: "Close this account?", act: "Close it",
  says: "Its owner does not see it any more, and no transfer goes in or out. Its history stays; an operator can restore it. The act is audited under your name.",
};
const RESTORING = {
  isClosed: false, method: "POST", path: (id) => `/admin/accounts/${id}/restore`, done: "Restored.", title: "Restore this account?", act: "Restore it",
  says: "Its owner sees it again, and it takes transfers from the next one on. The act is audited under your name.",
};

/** Closes or restores. Doing it twice changes nothing: where an answer is lost, the account itself says how it is. */
async function turn({ isClosed, method, path, done, title, act, says }, parts) {
  const account = await looked(parts);
  if (!account) return;
  const facts = asked([...named(account, ownerOf(account)), ["Balance now", money(account.balance, account.currency)]]);
  const holds = isClosed && !isZero(account.balance) && h("p", {}, "There is money on it. As long as there is, closing it will be refused.");
  const question = { title, act, isGrave: isClosed, says: [facts, says, holds].filter(Boolean) };
  if (!(await confirmed(question))) return;
  parts.done.replaceChildren(h("p", { class: "quiet", "aria-busy": "true" }, "It is being done …"));
  const refusal = await ask(method, path(account.id)).then(() => null, (error) => error);
  const now = await again(parts);
  const isDone = !refusal || now?.is_deleted === isClosed;
  parts.done.replaceChildren(isDone ? notice("good", done, isClosed && "It can be restored below.") : failure(refusal));
  // The button that was pressed is there no more.
  parts.done.focus();
}
