// A user's use of fraud's limits at this moment, as fraud would count it for his next transfer.

import { get, Refused } from "../api.js";
import { h } from "../dom.js";
import { addressOf, go } from "../filters.js";
import { count, duration, money, moment } from "../format.js";
import { badge, facts, field, fill, heading, id, notice, section, stacking, table } from "../parts.js";

export async function showUsage(main, called, signal) {
  const found = h("div", {});
  main.replaceChildren(heading("A user's limits"), h("p", { class: "back" }, h("a", { href: "#/fraud" }, "Fraud")), userForm(called), found);
  await fill(found, "the use of limits", () => looked(called.toLowerCase(), signal));
}

/** Asks whose use of limits is to be shown. */
export function userForm(called = "") {
  const input = h("input", { name: "user", value: called, class: "id", required: true, autocomplete: "off", spellcheck: "false" });
  return h("form", { class: "row", role: "search", submit: (event) => {
    event.preventDefault();
    go(`#/fraud/user/${encodeURIComponent(input.value.trim())}`);
  } },
  field("User id or e-mail address", input),
  h("button", { type: "submit" }, called ? "Look again" : "Limits right now"));
}

async function looked(called, signal) {
  const userId = called.includes("@") ? await ownerOf(called, signal) : called;
  if (!userId) {
    return notice("warn", "No account belongs to that address.",
      "Whoever has no account has used nothing. If the address is right, look by the user's id: each transfer and each row of the audit log tells it.");
  }
  try {
    return drawn(await get(`/admin/users/${encodeURIComponent(userId)}/usage`, {}, signal), called);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) {
      return h("div", { role: "alert" }, notice("warn", error.message, `Nobody has the id ${userId}. An account's or a transfer's id is none of a user.`));
    }
    throw error;
  }
}

// The API knows users by id; whose an account is, it knows by address too.
async function ownerOf(email, signal) {
  const { items } = await get("/admin/accounts", { owner_email: email, include_deleted: "true", limit: 1 }, signal);
  return items[0]?.owner_id;
}

function drawn(usage, called) {
  const user = usage.user_id;
  const link = (chosen, text) => h("a", { class: "button", href: addressOf("transfers", { user_id: user, ...chosen }) }, text);
  return [
    ...Object.values(usage.unknown).map((why) => notice("warn", "The limits are not known.", why, "What was used of them is.")),
    facts([
      ["User", id(user)],
      ...(called.includes("@") ? [["E-mail address", called]] : []),
      ["As of (UTC)", moment(usage.at)],
      ["Version of the limits", id(usage.limits_version)],
    ]),
    section("Used right now", used(usage)),
    h("div", { class: "actions" },
      link({}, "This user's transfers"), link({ status: "blocked" }, "The blocked ones"),
      h("a", { class: "button", href: addressOf("audit", { user_id: user }) }, "This user's rows in the audit log")),
  ];
}

function used(usage) {
  const isKnown = !usage.unknown.limits;
  const rows = [
    { name: "Transfers in an hour", of: usage.hour_count, shown: count },
    { name: "Transfers in 24 hours", of: usage.day_count, shown: count },
    ...Object.entries(usage.day_amount).map(([currency, of]) => ({ name: `${currency} in 24 hours`, of, shown: (amount) => money(amount, currency) })),
  ];
  const limit = ({ of, shown }) => (of.limit === null ? (isKnown ? "off" : "not known") : shown(of.limit));
  return stacking(table("Approved transfers count, in windows that move with the clock; the amount of a failed one does not. Currencies are never added.", [
    { title: "Limit", of: ({ name }) => name },
    { title: "Used", number: true, of: ({ of, shown }) => shown(of.used) },
    { title: "At most", number: true, of: limit },
    { title: "Left", number: true, of: ({ of, shown }) => (of.left === null ? "–" : /^0(\.0*)?$/.test(of.left) ? badge("blocked", "none") : shown(of.left)) },
    // Both are handed on as the API wrote them.
    { title: "Of the limit", wide: true, of: ({ name, of, shown }) => of.limit !== null && h("meter", { min: 0, max: of.limit, value: of.used, "aria-label": `${name}: ${shown(of.used)} of ${shown(of.limit)}` }) },
    { title: "Oldest counts until (UTC)", of: ({ of }) => leaves(of.oldest_leaves_at, usage.at) },
  ], rows));
}

function leaves(at, now) {
  return at ? [h("time", { datetime: at }, moment(at)), h("small", {}, ` in ${duration((Date.parse(at) - Date.parse(now)) / 1000)}`)] : "–";
}
