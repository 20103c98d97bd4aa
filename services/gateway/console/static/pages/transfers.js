// Transfers: found by whatever is known of them, whatever became of them; one of them on its way.

import { get, Refused } from "../api.js";
import { h, say } from "../dom.js";
import { addressOf, chosenOf, fillFrom, go } from "../filters.js";
import { clock, money, moment, words } from "../format.js";
import { badge, choice, field, fill, heading, notice, shortId, stacking, table } from "../parts.js";
import { drawTransfer } from "./transfer.js";

// Those behind a fold on a phone.
const MORE = ["account_id", "user_id", "start_date", "end_date", "currency", "min_amount", "max_amount", "include_deleted"];
const FILTERS = ["id", "idempotency_key", "status", ...MORE];
const STATUSES = [["", "Any"], ...["pending", "completed", "failed", "blocked"].map((status) => [status, status])];
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const AGAIN_MS = 2_000;
const AGAIN_MS_MAX = 10_000;

export async function show(main, { rest: [id], query, signal }) {
  await (id ? one(main, id.toLowerCase(), signal) : list(main, query, signal));
}

async function list(main, query, signal) {
  const chosen = chosenOf(query, FILTERS);
  const form = searchForm(chosen);
  const found = h("div", {});
  main.replaceChildren(heading("Transfers"), form, found);
  const cursor = query.get("cursor") ?? "";
  await fillFrom(form, found, "transfers", async () => page(await get("/admin/transfers", { ...chosen, cursor }, signal), chosen, cursor));
}

function searchForm(chosen) {
  const text = (name, more) => h("input", { name, value: chosen[name], autocomplete: "off", spellcheck: "false", ...more });
  const moment = { placeholder: "YYYY-MM-DD hh:mm" };
  const more = MORE.filter((name) => chosen[name]).length;
  const summary = `Account, user, time, amount${more ? `: ${more} set` : ""}`;
  const form = h("form", { role: "search", submit: (event) => {
    event.preventDefault();
    search(Object.fromEntries(new FormData(form)));
  } },
  h("div", { class: "fields" },
    field("Transfer id", text("id", { class: "id" })),
    field("Idempotency key", text("idempotency_key", { class: "long" })),
    field("Status", choice("status", STATUSES, chosen.status))),
  h("details", { open: matchMedia("(min-width: 641px)").matches }, h("summary", {}, summary),
    h("div", { class: "fields" },
      field("Account id, from or to", text("account_id", { class: "id" })),
      field("User id", text("user_id", { class: "id" })),
      field("From (UTC)", text("start_date", moment)),
      field("To (UTC)", text("end_date", moment)),
      field("Currency", text("currency", { placeholder: "such as USD", maxlength: 3, class: "code" })),
      field("At least", text("min_amount", { inputmode: "decimal" })),
      field("At most", text("max_amount", { inputmode: "decimal" })),
      h("label", { class: "check" },
        h("input", { type: "checkbox", name: "include_deleted", value: "true", checked: chosen.include_deleted === "true" }), "Hidden ones too"))),
  h("div", { class: "actions" },
    h("button", { type: "submit", class: "first" }, "Search"),
    Object.values(chosen).some(Boolean) && h("a", { class: "button", href: "#/transfers" }, "Take all filters away")));
  return form;
}

/** As people write it, and as tables of this console show it: `2026-11-23 14:05` is a time in UTC. */
function asMoment(text) {
  const [, date, time, seconds] = /^(\d{4}-\d\d-\d\d)[ T]+(\d\d:\d\d)(:\d\d(?:\.\d+)?)?$/.exec(text) ?? [];
  return date ? `${date}T${time}${seconds ?? ":00"}Z` : text;
}

function search(given) {
  const chosen = Object.fromEntries(Object.entries(given).map(([name, value]) => [name, value.trim()]));
  for (const name of ["id", "account_id", "user_id"]) chosen[name] = chosen[name].toLowerCase();
  for (const name of ["start_date", "end_date"]) chosen[name] = asMoment(chosen[name]);
  for (const name of ["min_amount", "max_amount"]) chosen[name] = chosen[name].replaceAll(/\s/g, "");
  chosen.currency = chosen.currency.toUpperCase();
  go(UUID.test(chosen.id) ? `#/transfers/${chosen.id}` : addressOf("transfers", chosen));
}

function page({ items, next_cursor: next, searched_to: searchedTo, unknown }, chosen, cursor) {
  const count = items.length === 1 ? "1 transfer" : `${items.length} transfers`;
  say(`${count} on this page.`);
  const older = next && h("a", { class: "button", href: addressOf("transfers", { ...chosen, cursor: next }) }, "Older ones");
  const newest = cursor && h("a", { class: "button", href: addressOf("transfers", chosen) }, "Back to the newest");
  return [
    Object.keys(unknown).length > 0 && notice("warn", "Some may be missing.", ...Object.values(unknown)),
    items.length > 0 ? rows(items, `${count}, newest first`) : nothing(chosen, next, cursor),
    next && h("p", { class: "quiet" }, `Looked for back to ${moment(searchedTo)} UTC.`),
    h("div", { class: "actions" }, newest, older),
  ].filter(Boolean);
}

function nothing(chosen, next, cursor) {
  if (next) return notice("calm", "None of those that were looked at is like that.", "There are older ones: go on, or name a status, an account or a key.");
  if (cursor) return notice("calm", "There are no older ones like that.");
  if (!Object.values(chosen).some(Boolean)) return notice("calm", "There are no transfers yet.", "What is sent through the API is here as soon as it is accepted.");
  return notice("calm", "No transfer is like that.",
    "Take a filter away, or widen times and amounts. Hidden ones are found only if that is asked for.",
    h("span", {}, "What was refused at once, such as a key that was used again, never became a transfer: ",
      h("a", { href: addressOf("audit", { user_id: chosen.user_id }) }, "the audit log"), " may have it."));
}

function rows(items, caption) {
  const leads = (event) => {
    const row = event.target.closest("tbody tr");
    if (row && !event.target.closest("a") && getSelection().isCollapsed) row.querySelector("a").click();
  };
  const account = (id) => shortId(id, addressOf("transfers", { account_id: id }));
  return h("div", { class: "leading", click: leads }, stacking(table(caption, [
    { title: "Asked for (UTC)", of: ({ id, created_at: at }) => h("a", { href: `#/transfers/${id}` }, h("time", { datetime: at }, moment(at))) },
    { title: "Amount", number: true, of: ({ amount, currency }) => money(amount, currency) },
    { title: "Status", of: (one) => [badge(one.status), one.is_deleted && [" ", badge("hidden")], why(one)] },
    { title: "From", of: ({ from_account_id: from }) => account(from) },
    { title: "To", of: ({ to_account_id: to }) => account(to) },
    { title: "User", of: ({ owner_id: owner }) => shortId(owner, addressOf("transfers", { user_id: owner })) },
    { title: "Kind", of: ({ kind }) => kind },
    { title: "Key", of: ({ idempotency_key: key }) => (key ? h("code", { class: "key-text", title: key }, key) : "–") },
    { title: "Id", of: ({ id }) => h("code", { title: id }, `${id.slice(0, 8)}…`) },
  ], items)));
}

function why({ failure_reason: failed, reasons, status }) {
  const said = failed ? words(failed) : status === "blocked" && reasons.map(({ code }) => words(code)).join(", ");
  return said && h("small", {}, " ", said);
}

async function one(main, id, signal) {
  const found = h("div", {});
  const stale = h("div", { role: "status" });
  main.replaceChildren(heading("Transfer"), h("p", { class: "back" }, h("a", { href: "#/transfers" }, "All transfers")), stale, found);
  const state = { id, signal, found, stale, waitMs: AGAIN_MS };
  await fill(found, "the transfer", () => looked(state));
}

async function looked(state) {
  let timeline;
  try {
    timeline = await get(`/admin/transfers/${encodeURIComponent(state.id)}/timeline`, {}, state.signal);
  } catch (error) {
    if (error instanceof Refused && error.code === "transfer_not_found") return noSuch(state.id, error);
    throw error;
  }
  state.seenAt = new Date().toISOString();
  const isUnderWay = timeline.waits.length > 0 || Object.keys(timeline.unknown).some((part) => part !== "audit");
  if (isUnderWay) later(state);
  return drawTransfer(timeline);
}

function later(state) {
  setTimeout(() => again(state), state.waitMs);
  state.waitMs = Math.min(state.waitMs * 1.25, AGAIN_MS_MAX);
}

// The page is not emptied while it is asked again.
async function again(state) {
  if (state.signal.aborted) return;
  try {
    const content = await looked(state);
    state.stale.replaceChildren();
    state.found.replaceChildren(...content);
  } catch (error) {
    if (state.signal.aborted) return;
    state.stale.replaceChildren(notice("bad", error.message, `What is shown is from ${clock(state.seenAt)} UTC. The page asks again by itself.`));
    later(state);
  }
}

function noSuch(id, error) {
  const as = (name, what) => h("a", { class: "button", href: addressOf("transfers", { [name]: id }) }, what);
  return [
    h("div", { role: "alert" }, notice("warn", error.message, `Nothing was ever accepted under ${id}. It may be the id of something else:`)),
    h("div", { class: "actions" }, as("account_id", "Transfers of that account"), as("user_id", "Transfers of that user")),
  ];
}
