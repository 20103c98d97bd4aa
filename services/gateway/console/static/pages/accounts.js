// Accounts: found, opened, and one of them with what an operator may do to it.

import { get } from "../api.js";
import { h } from "../dom.js";
import { money, moment } from "../format.js";
import { badge, field, fill, heading, notice, table } from "../parts.js";
import { unsettled } from "./acting.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PAGES = { open: () => import("./opening.js") };

export async function show(main, { rest: [id], query, signal }) {
  if (!id) return list(main, query, signal);
  const page = await (PAGES[id]?.() ?? import("./account.js"));
  if (!signal.aborted) return page.show(main, { id, query, signal });
}

/** An account as operators find it, closed or not; null if there is none. */
export async function found(id, signal) {
  const { items: [account] } = await get("/admin/accounts", { id, include_deleted: true }, signal);
  return account ?? null;
}

/** Whose it is, as people would say it. */
export const ownerOf = ({ owner_email: email, owner_reference: reference, owner_id: owner }) =>
  email ?? reference ?? owner ?? "nobody: a settlement account";

/** What stands in place of an account that is not there. */
export const missing = () => h("div", { role: "alert" },
  notice("bad", "No such account.", "Look whether the id is whole, or find the account by its owner."));

function list(main, query, signal) {
  const chosen = Object.fromEntries(["text", "currency", "closed", "cursor"].map((name) => [name, query.get(name) ?? ""]));
  const results = h("div", {});
  main.replaceChildren(
    heading("Accounts", h("a", { class: "button", href: "#/accounts/open" }, "Open an account")),
    unsettled(signal), form(chosen), results);
  fill(results, "accounts", async () => {
    const { page, by } = await search(chosen, signal);
    return [rows(page.items, by, chosen), h("div", { class: "actions" },
      chosen.cursor && h("a", { class: "button", href: addressOf({ ...chosen, cursor: "" }) }, "Newest"),
      page.next_cursor && h("a", { class: "button", href: addressOf({ ...chosen, cursor: page.next_cursor }) }, "Older"))];
  });
}

const addressOf = (chosen) => `#/accounts?${new URLSearchParams(Object.entries(chosen).filter(([, value]) => value))}`;

function form(chosen) {
  const made = h("form", { class: "row", role: "search", submit: (event) => {
    event.preventDefault();
    const { text, currency, closed } = Object.fromEntries(new FormData(made));
    location.hash = addressOf({ text: text.trim(), currency: currency.trim().toUpperCase(), closed });
  } },
  field("Account id, or its owner's e-mail address, reference or user id",
    h("input", { name: "text", value: chosen.text, size: 44, maxlength: 255, autocomplete: "off", spellcheck: "false" })),
  field("Currency", h("input", { name: "currency", value: chosen.currency, size: 5, maxlength: 3, pattern: "[A-Za-z]{3}",
    title: "A code such as USD", autocomplete: "off", spellcheck: "false" })),
  h("label", { class: "check" }, h("input", { type: "checkbox", name: "closed", value: "1", checked: chosen.closed === "1" }), "Closed ones too"),
  h("button", { type: "submit", class: "first" }, "Find"));
  return made;
}

/** What the text may be, the likeliest first; the first that something is found by is taken. */
function readings(text) {
  if (!text) return [[{}, "All accounts"]];
  const reference = [{ owner_reference: text }, "Accounts of the owner with this reference"];
  if (UUID.test(text)) return [[{ id: text }, "The account with this id"], [{ owner_id: text }, "Accounts of this user"], reference];
  return text.includes("@") ? [[{ owner_email: text }, "Accounts of the user with this address"], reference] : [reference];
}

async function search({ text, currency, closed, cursor }, signal) {
  let found;
  for (const [by, title] of readings(text)) {
    found = { page: await get("/admin/accounts", { ...by, currency, include_deleted: closed ? "true" : "", cursor }, signal), by: title };
    if (found.page.items.length > 0) break;
  }
  return found;
}

function rows(items, by, chosen) {
  if (items.length === 0) return nothing(chosen);
  return table(`${by}, newest first`, [
    { title: "Account", wide: true, of: ({ id, name }) => h("a", { href: `#/accounts/${id}` }, name) },
    { title: "Balance", number: true, of: ({ balance, currency }) => money(balance, currency) },
    { title: "Owner", wide: true, of: (account) => ownerOf(account) },
    { title: "State", of: ({ is_deleted: isClosed }) => badge(isClosed ? "closed" : "open") },
    { title: "Opened (UTC)", of: ({ created_at: at }) => h("time", { datetime: at }, moment(at)) },
  ], items);
}

function nothing({ text, currency, closed, cursor }) {
  if (!text && !currency && !cursor) return notice("calm", "There is no account yet.", "Customers open theirs by the API. “Open an account” makes one for an owner whom your books know.");
  return notice("calm", "No account is like that.",
    text && "An id, address or reference counts only whole, as it was written when it was made; e-mail addresses in any case.",
    closed ? "" : "It may be closed: look for closed ones too.");
}
