// The ledger: whether it adds up, whether it explains every account, and one account's statement.

import { get, stay } from "../api.js";
import { h, say } from "../dom.js";
import { follow } from "../events.js";
import { count, duration, isZero, money, moment } from "../format.js";
import { badge, failure, field, fill, heading, notice, section, shortId, table } from "../parts.js";

export async function show(main, { rest: [id], query, signal }) {
  if (id) {
    const page = await import("./statement.js");
    if (!signal.aborted) await page.show(main, { id, query, signal });
    return;
  }
  const sums = h("div", {});
  main.replaceChildren(heading("Ledger"), chooser(), section("Trial balance", sums), section("The whole book", book(signal)));
  // Not awaited: a large book takes its time, and the rest of the page does not wait for it.
  fill(sums, "the sum of all entries, every one of which is read", async () => trialBalance(await get("/admin/ledger/trial-balance", {}, signal)));
}

function chooser() {
  const input = h("input", { name: "account", size: 38, required: true, autocomplete: "off", spellcheck: "false",
    pattern: "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", title: "An id such as a7e2c9d4-1b3f-5c6d-8e9f-0a1b2c3d4e33" });
  return h("form", { class: "row", role: "search", submit: (event) => {
    event.preventDefault();
    location.hash = `#/ledger/${input.value.trim().toLowerCase()}`;
  } },
  field("Account id", input), h("button", { type: "submit", class: "first" }, "Statement and verification"),
  h("p", { class: "beside quiet" }, "No id at hand?", h("a", { href: "#/accounts" }, "Find the account")));
}

function trialBalance({ status, as_of: at, newest_entry_at: newest, took_s: tookS, currencies }) {
  const rows = Object.entries(currencies);
  if (rows.length === 0) return h("p", { class: "quiet" }, "The ledger has no entry yet. With the first deposit it has two.");
  const wrong = rows.filter(([, { difference }]) => !isZero(difference)).map(([currency]) => currency);
  return [
    status === "balanced"
      ? notice("good", "Balanced: in every currency debits and credits are the same.")
      : notice("bad", `Debits and credits differ in ${wrong.join(", ")}.`, ...NEXT_BOOK),
    h("p", { class: "quiet" }, `All entries as they were at ${moment(at)} UTC, the newest of ${moment(newest)}; added up in ${duration(tookS)}.`),
    table("Sums of all entries by currency", [
      { title: "Currency", of: ([currency]) => currency },
      { title: "Debits", number: true, of: ([, { debits }]) => money(debits) },
      { title: "Credits", number: true, of: ([, { credits }]) => money(credits) },
      { title: "Debits less credits", number: true, of: ([, { difference }]) => [money(difference), " ", badge(isZero(difference) ? "ok" : "broken", isZero(difference) ? "zero" : "not zero")] },
      { title: "Accounts", number: true, of: ([, { accounts }]) => count(accounts) },
      { title: "Entries", number: true, of: ([, { entries }]) => count(entries) },
    ], rows, { hidesCaption: true }),
  ];
}

const NEXT_BOOK = [
  "Both entries of a transfer are written together, so this is a change by hand, a restored backup, or a bug.",
  "Keep a copy before anything is done: remit verify --json, and a dump of the schemas transfer and ledger. Then verify the whole book below: it names the accounts.",
];

function book(signal) {
  const place = h("div", { class: "verifying" });
  const button = h("button", { type: "button", click: () => walk() }, "Verify the whole book");

  async function walk() {
    button.disabled = true;
    const shown = walking();
    place.replaceChildren(shown.element);
    say("The book is being verified.");
    let result = null;
    try {
      // A look at a large book outlasts a token that is about to be renewed.
      await stay();
      await follow("/admin/ledger/verify/events", { signal, onEvent: (name, data) => {
        if (name === "progress") shown.tell(data);
        if (name === "result") result = data;
      } });
      place.replaceChildren(...(result ? outcome(result, shown.last()) : [unfinished(shown.last())]));
      say(result ? `The book is ${result.status.replace("_", " ")}.` : "The verification ended early.");
    } catch (error) {
      if (error.name !== "AbortError") place.replaceChildren(h("div", {}, failure(error), shown.last() && h("p", { class: "quiet" }, `${reached(shown.last())} until then.`)));
    } finally {
      button.disabled = false;
    }
  }

  return [h("p", {}, "Every entry of every account is read again, and compared with the account and with the transfers that moved it."), button, place];
}

const reached = ({ accounts, accounts_total: total, entries, elapsed_s: elapsedS }) =>
  `${count(accounts)} of ${count(total)} accounts with ${count(entries)} entries, in ${duration(Math.round(elapsedS * 10) / 10)}`;

/** How far it has come: what was done, and what there is to do; accounts differ in size, so no time is promised. */
function walking() {
  const bar = h("progress", { "aria-label": "Accounts verified", max: 1 });
  const text = h("p", { class: "quiet", "aria-busy": "true" }, "Counting the accounts …");
  let seen = null;
  return {
    element: h("div", {}, bar, text),
    last: () => seen,
    tell: (data) => {
      seen = data;
      bar.max = Math.max(data.accounts_total, 1);
      bar.value = data.accounts;
      text.textContent = `${reached(data)}; ${data.mismatched === 0 ? "no difference" : `${count(data.mismatched)} with a difference`} so far`;
    },
  };
}

const unfinished = (seen) => notice("warn", "It ended before it was through.",
  "Your session or the gateway has ended; begin again.", seen && `${reached(seen)} until then.`);

function outcome(found, seen) {
  const walked = `${count(found.accounts)} accounts, ${count(found.entries)} entries, in ${duration(Math.round(seen.elapsed_s * 10) / 10)}.`;
  if (found.status === "verified") return [notice("good", "Verified: the ledger explains every account.", walked)];
  if (found.status === "catching_up") {
    return [notice("good", "Verified: the ledger explains every account, as far as it has come.", walked,
      `${count(found.catching_up)} moved while it was read, and the ledger had not booked that yet. That is in order for some seconds; verify again to see it gone.`)];
  }
  const more = found.mismatched > found.mismatches.length;
  return [
    notice("bad", `The ledger does not explain ${count(found.mismatched)} of ${count(found.accounts)} accounts.`,
      "Treat their figures as unknown. Keep a copy before anything is done: remit verify --json, and a dump of their rows in transfer and ledger.",
      "Each account's page says what differs and what to do next."),
    table(more ? `The first ${count(found.mismatches.length)}, by id` : "Accounts with a difference, by id", [
      { title: "Account", of: ({ account_id: id }) => shortId(id, `#/ledger/${id}`) },
      { title: "The ledger says", number: true, of: (one) => money(one.ledger_balance, one.currency) },
      { title: "The account says", number: true, of: (one) => money(one.account_balance, one.currency) },
      { title: "Account less ledger", number: true, of: (one) => money(one.difference, one.currency) },
      { title: "Entries, ledger / account", number: true, of: (one) => `${count(one.ledger_position)} / ${count(one.account_seq)}` },
      { title: "What fails", of: ({ checks }) => checks.filter(({ ok }) => !ok).map(({ name }) => name.replaceAll("_", " ")).join(", ") },
    ], found.mismatches),
  ];
}
