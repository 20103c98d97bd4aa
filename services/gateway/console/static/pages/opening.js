// Opening an account for an owner whom the operator's books know by a reference.

import { get } from "../api.js";
import { h, once } from "../dom.js";
import { count, money } from "../format.js";
import { failure, field, heading, section } from "../parts.js";
import { acted, asked, unsettled } from "./acting.js";

export async function show(main, { signal }) {
  const done = h("div", { role: "status" });
  main.replaceChildren(
    heading("Open an account"),
    h("p", { class: "back" }, h("a", { href: "#/accounts" }, "All accounts")),
    unsettled(signal), done,
    section("For an owner whom your books know",
      h("p", {}, "The owner is called by a reference of yours, such as a customer number, and has no password. Whoever logs in opens accounts without you."),
      form(done, signal)));
}

function form(done, signal) {
  const text = (name, more) => h("input", { name, autocomplete: "off", spellcheck: "false", ...more });
  const made = h("form", { class: "row", submit: once(async () => {
    const given = Object.fromEntries([...new FormData(made)].map(([name, value]) => [name, value.trim()]));
    if (await opened({ ...given, currency: given.currency.toUpperCase() }, done, signal)) made.reset();
  }) },
  field("Owner's reference", text("owner_reference", { required: true, maxlength: 255, size: 30 })),
  field("Name of the account", text("name", { required: true, maxlength: 100, size: 24 })),
  field("Currency", text("currency", { required: true, maxlength: 3, size: 5, pattern: "[A-Za-z]{3}", title: "A code such as USD" })),
  field("Opening balance, if any", text("opening_balance", { size: 18, inputmode: "decimal", pattern: "[0-9]{1,40}(\\.[0-9]{1,40})?", title: "Digits, with a point before the decimals: 1234.50" })),
  h("button", { type: "submit", class: "first" }, "Open …"));
  return made;
}

async function opened({ owner_reference: reference, name, currency, opening_balance: opening }, done, signal) {
  let known;
  try {
    known = await get("/admin/accounts", { owner_reference: reference, include_deleted: true }, signal);
  } catch (error) {
    if (error.name !== "AbortError") done.replaceChildren(failure(error));
    return false;
  }
  const question = {
    title: "Open this account?", act: "Open it",
    says: [
      asked([["Owner", reference], ["He has", accountsOf(known)], ["Name", name], ["Currency", currency],
        ["Balance afterwards", opening ? money(opening, currency) : `zero ${currency}`]]),
      opening
        ? `The opening balance is a deposit from outside of the bank. Both are audited under your name.`
        : "It is audited under your name.",
    ],
  };
  const account = { owner_reference: reference, name, currency, ...(opening ? { opening_balance: opening } : {}) };
  const act = { kind: "opening", path: "/admin/accounts/batch", body: { accounts: [account] }, title: `Open “${name}” for ${reference}`, account: null };
  return acted(question, act, done);
}

function accountsOf({ items, next_cursor: more }) {
  if (items.length === 0) return "no account yet: look whether the reference is right";
  return `${more ? "more than " : ""}${count(items.length)} ${items.length === 1 ? "account" : "accounts"}, closed ones among them; the newest is “${items[0].name}”`;
}
