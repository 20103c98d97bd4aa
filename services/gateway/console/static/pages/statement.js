// One account in the ledger: whether the ledger explains it, and what moved it.

import { get } from "../api.js";
import { h, say } from "../dom.js";
import { count, isZero, money, moment, words } from "../format.js";
import { badge, facts, field, fill, heading, id as code, notice, section, shortId, table } from "../parts.js";
import { found, missing, ownerOf } from "./accounts.js";

const PAGE = 50;

export async function show(main, { id, query, signal }) {
  const chosen = Object.fromEntries(["start_date", "end_date", "cursor"].map((name) => [name, query.get(name) ?? ""]));
  const [head, verdict, entries] = [h("div", {}), h("div", {}), h("div", {})];
  main.replaceChildren(heading("Account in the ledger"), h("p", { class: "back" }, h("a", { href: "#/ledger" }, "The whole ledger")), head);
  let account = null;
  await fill(head, "the account", async () => {
    account = await found(id, signal);
    return account ? summary(account) : missing();
  });
  if (!account || signal.aborted) return;
  const verify = () => fill(verdict, "the account's entries, every one of which is read", async () => {
    const verified = await get(`/admin/ledger/verify/${account.id}`, {}, signal);
    say(`The account is ${words(verified.status)}.`);
    return verification(verified, h("button", { type: "button", click: verify }, "Verify again"));
  });
  main.append(section("Verification", verdict), section("Statement", account.is_deleted ? closed(account) : [filter(account, chosen), entries]));
  await Promise.all([verify(), account.is_deleted || fill(entries, "its entries", () => statement(account, chosen, signal))]);
}

const summary = (account) => h("div", { class: "card" },
  h("p", { class: "amount" }, money(account.balance, account.currency), " ", badge(account.is_deleted ? "closed" : "open")),
  facts([["Account", [account.name, h("br"), code(account.id)]], ["Owner", ownerOf(account)], ["Times moved", count(account.account_seq)]]),
  h("p", { class: "links" }, h("a", { href: `#/accounts/${account.id}` }, account.owner_id ? "The account: deposit, withdraw, close" : "The account")));

const closed = (account) => notice("calm", "It is closed: its statement is not shown.",
  "Nothing of it is gone, and the verification reads it all.",
  h("a", { href: `#/accounts/${account.id}` }, "Restore the account to see it"));

const addressOf = (account, chosen) =>
  `#/ledger/${account.id}?${new URLSearchParams(Object.entries(chosen).filter(([, value]) => value))}`;

function filter(account, chosen) {
  const date = (name) => h("input", { name, type: "date", value: chosen[name] });
  const form = h("form", { class: "row", submit: (event) => {
    event.preventDefault();
    location.hash = addressOf(account, Object.fromEntries(new FormData(form)));
  } },
  field("From (UTC)", date("start_date")), field("To, with that day", date("end_date")),
  h("button", { type: "submit" }, "Filter"),
  (chosen.start_date || chosen.end_date) && h("a", { class: "button", href: addressOf(account, {}) }, "All of it"));
  return form;
}

async function statement(account, chosen, signal) {
  const { items, next_cursor: cursor } = await get(`/accounts/${account.id}/entries`, { ...chosen, limit: PAGE }, signal);
  const isFiltered = chosen.start_date || chosen.end_date;
  if (items.length === 0) {
    return h("p", { class: "quiet" }, isFiltered ? "Nothing moved it in these days." : "Nothing has moved it yet.");
  }
  const [first, last] = [items[0].account_seq, items.at(-1).account_seq];
  const side = (wanted) => ({ direction, amount }) => (direction === wanted ? money(amount) : "");
  return [
    table(`Entries ${count(first)} to ${count(last)} of ${count(account.account_seq)}, newest first, in ${account.currency}`, [
      { title: "Entry", number: true, of: ({ account_seq: place }) => count(place) },
      { title: "Settled (UTC)", of: ({ created_at: at }) => h("time", { datetime: at }, moment(at)) },
      { title: "Debit", number: true, of: side("debit") },
      { title: "Credit", number: true, of: side("credit") },
      { title: "Balance", number: true, of: ({ balance_after: after }) => h("b", {}, money(after)) },
      { title: "Balance before", number: true, of: ({ balance_before: before }) => money(before) },
      { title: "Transfer", of: ({ transfer_id: transfer }) => shortId(transfer, `#/transfers/${transfer}`) },
    ], items),
    h("div", { class: "actions" },
      chosen.cursor && h("a", { class: "button", href: addressOf(account, { ...chosen, cursor: "" }) }, "Newest"),
      cursor && h("a", { class: "button", href: addressOf(account, { ...chosen, cursor }) }, "Older")),
  ];
}

const CHECKS = {
  contiguous: "Entries are numbered without a gap",
  chained: "Each entry goes on from the balance before it",
  totals: "Credits less debits are the balance",
  balance_matches: "Ledger, account and transfer agree",
  missing_entry: "No entry is missing",
};

const COPY = "Keep a copy before anything is done: remit verify --json, and a dump of this account's rows in transfer and ledger.";
const NEXT = {
  missing_entry: "Missing entries: see on the pipeline's page whether the ledger is behind, and among the dead letters whether it could not carry them. remit repair sends them again.",
  other: "Figures that differ do not mend themselves, and are not mended in place, for entries are never changed: it is a change by hand, a restored backup, or a bug. The operations guide, “Ledger differs”, says how to go on.",
};

function verification(one, again) {
  const wrong = one.checks.filter(({ ok }) => !ok).map(({ name }) => name);
  const sum = (amount) => money(amount, one.currency);
  const sides = [
    ["Balance", sum(one.ledger_balance), sum(one.account_balance), apart(one, !isZero(one.difference), sum(one.difference))],
    ["Entries", `up to ${count(one.ledger_position)}`, `up to ${count(one.account_seq)}`,
      apart(one, one.account_seq !== one.ledger_position, count(one.account_seq - one.ledger_position))],
  ];
  const figures = [
    table("Side by side", [
      { title: "What", of: ([name]) => name },
      { title: "The ledger says", number: true, of: ([, ledger]) => ledger },
      { title: "The account says", number: true, of: ([, , account]) => account },
      { title: "Account less ledger", number: true, of: ([, , , difference]) => difference },
    ], sides, { hidesCaption: true }),
    table("What was checked", [
      { title: "Check", of: ({ name }) => CHECKS[name] ?? words(name) },
      { title: "Holds", of: ({ ok }) => badge(ok ? "ok" : "broken", ok ? "yes" : "no") },
      { title: "Found", wide: true, of: ({ detail }) => detail },
    ], one.checks),
  ];
  const read = `entries read ${count(one.entries)}, credits ${sum(one.total_credits)}, debits ${sum(one.total_debits)}`;
  return [
    verdictOf(one, wrong),
    h("details", { class: "figures", open: one.status !== "verified" }, h("summary", {}, `Side by side: ${read}`), figures),
    h("div", { class: "actions" }, again),
  ];
}

const apart = ({ status }, differs, text) => (differs ? badge(status, text) : text);

function verdictOf({ status, account_seq: moved, ledger_position: booked }, wrong) {
  if (status === "verified") return notice("good", "Verified: the ledger explains this account.");
  if (status === "catching_up") {
    return notice("warn", "Right as far as the ledger has come; it is catching up.",
      `${count(moved - booked)} of its entries are not booked yet, none of them for longer than is in order. Verify again in a moment.`);
  }
  const next = wrong.filter((name) => name === "missing_entry").map(() => NEXT.missing_entry);
  if (wrong.some((name) => name !== "missing_entry")) next.push(NEXT.other);
  return notice("bad", "The ledger does not explain this account. Treat its figures as unknown.", COPY, ...next);
}
