// The audit log: its filters, its files, and whether anybody has touched it.

import { ask, get } from "../api.js";
import { h, morph, say } from "../dom.js";
import { follow } from "../events.js";
import { addressOf, chosenOf, fillFrom, go } from "../filters.js";
import { count, duration, moment, percent, words } from "../format.js";
import { badge, choice, failure, field, heading, id, notice, shortId, stacking, table } from "../parts.js";

const any = (values) => [["", "Any"], ...values.map((value) => [value, value])];
const ACTIONS = any(["CREATE", "UPDATE", "DELETE", "RESTORE", "TRANSFER", "LOGIN", "LOGOUT", "FRAUD_CHECK", "ACCOUNT_ACCESS", "ADMIN"]);
const TYPES = any(["user", "account", "transaction", "audit_log", "dead_letter"]);
const STATUSES = any(["success", "failed", "blocked"]);
const FILTERS = ["action", "status", "resource_type", "resource_id", "user_id", "start_date", "end_date"];
const PAGE_SIZE = 50;
// Whoever has not begun after so long waits for somebody else.
const TURN_S = 2;

export async function show(main, { query, signal }) {
  const chosen = chosenOf(query, FILTERS);
  const form = filters(chosen, signal);
  const found = h("div", {});
  const [verify, verified] = chain(signal);
  main.replaceChildren(heading("Audit", verify), verified, form, found);
  const page = Number(query.get("page") ?? 1);
  await fillFrom(form, found, "the log", async () => rows(await get("/admin/audit-logs", { ...chosen, page, page_size: PAGE_SIZE }, signal), chosen));
}

function filters(chosen, signal) {
  const text = (name, more) => h("input", { name, value: chosen[name], autocomplete: "off", spellcheck: "false", ...more });
  const form = h("form", { role: "search", submit: (event) => {
    event.preventDefault();
    go(addressOf("audit", Object.fromEntries(new FormData(form))));
  } },
  h("div", { class: "fields" },
    field("Action", choice("action", ACTIONS, chosen.action)),
    field("Status", choice("status", STATUSES, chosen.status)),
    field("Resource", choice("resource_type", TYPES, chosen.resource_type)),
    field("Resource id", text("resource_id", { class: "id" })),
    field("User id", text("user_id", { class: "id" })),
    field("From (UTC)", text("start_date", { type: "date" })),
    field("To, with that day", text("end_date", { type: "date" }))),
  files(chosen, h("button", { type: "submit", class: "first" }, "Filter"), signal));
  return form;
}

function rows(page, chosen) {
  const total = `${count(page.total)}${page.total_capped ? " or more" : ""} ${page.total === 1 ? "row" : "rows"}, newest first; page ${page.page} of ${Math.max(page.pages, 1)}`;
  const link = (number, text) => h("a", { class: "button", href: addressOf("audit", { ...chosen, page: number }) }, text);
  return [
    stacking(table(total, [
      { title: "Row", number: true, of: ({ seq }) => String(seq) },
      { title: "At (UTC)", of: ({ occurred_at: at }) => h("time", { datetime: at }, moment(at)) },
      { title: "Action", of: ({ action }) => action },
      { title: "Status", of: ({ status, error_message: why }) => [badge(status), why && h("small", {}, " ", why)] },
      { title: "Resource", of: resource },
      { title: "User", of: ({ user_id: user }) => shortId(user, `#/audit?user_id=${user}`) },
      { title: "Address", of: ({ ip_address: address }) => address ?? "–" },
      { title: "Details", of: details },
    ], page.items, { empty: "No row is like that. Take a filter away, or widen the dates." })),
    h("div", { class: "actions" }, page.page > 1 && link(page.page - 1, "Newer"), page.page < page.pages && link(page.page + 1, "Older")),
  ];
}

function resource({ resource_type: type, resource_id: of }) {
  const shown = of && type === "transaction" ? h("a", { href: `#/transfers/${of}` }, id(of)) : id(of);
  return of ? [type, " ", shown] : type;
}

function details(row) {
  const told = { request_id: row.request_id, user_agent: row.user_agent, recorded_at: row.recorded_at, hash: row.hash, ...row.details };
  return h("details", {}, h("summary", {}, "Show"), h("pre", { tabindex: "0", "aria-label": `Details of row ${row.seq}` }, JSON.stringify(told, null, 2)));
}

function files(chosen, filter, signal) {
  const said = h("div", {});
  const fetched = async (format) => {
    said.replaceChildren(h("p", { class: "quiet" }, "The file is being made …"));
    try {
      const response = await ask("GET", "/admin/audit-logs/export", { query: { ...chosen, format }, signal, headers: { Accept: "*/*" } });
      kept(await response.blob(), `audit-logs.${format}`);
      said.replaceChildren(h("p", { class: "quiet" }, "The file is with your downloads."));
    } catch (error) {
      if (error.name !== "AbortError") said.replaceChildren(failure(error));
    }
  };
  return h("div", {}, h("div", { class: "actions" }, filter, ["csv", "ndjson"].map((format) =>
    h("button", { type: "button", click: () => fetched(format) }, `All of these as ${format.toUpperCase()}`))), said);
}

function kept(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function chain(signal) {
  const said = h("div", { class: "walk" });
  const button = h("button", { type: "button", click: () => walk() }, "Verify the whole log");

  async function walk() {
    button.disabled = true;
    say("The log is being verified.");
    const asked = Date.now();
    let began;
    let found;
    try {
      const onEvent = (name, data) => {
        if (name === "result") found = data;
        if (name === "progress") {
          if (data.total !== null) began ??= Date.now();
          morph(said, h("div", {}, progress(data, (Date.now() - (began ?? asked)) / 1000)));
        }
      };
      await follow("/admin/audit-logs/verify/events", { onEvent, signal });
      said.replaceChildren(found ? outcome(found) : notice("warn", "It was ended before its end.", "The gateway leaves, or the token with which this began has ended. Nothing was found out: begin again. A log that takes longer than a token lives is verified by remit audit verify."));
      say(found ? `The log is ${found.status}.` : "The verification was ended before its end.");
    } catch (error) {
      if (error.name !== "AbortError") said.replaceChildren(failure(error));
    } finally {
      button.disabled = false;
    }
  }

  return [button, said];
}

function progress({ walked, total }, tookS) {
  if (total === null) {
    return h("p", { class: "quiet" }, tookS < TURN_S ? "It begins …" : `It has waited for ${duration(Math.round(tookS))}: another verification runs on this gateway, and this one follows it.`);
  }
  const share = total ? walked / total : 1;
  const leftS = walked ? (tookS / walked) * (total - walked) : 0;
  const left = leftS >= 1 ? `, about ${duration(Math.ceil(leftS))} left` : "";
  return [
    h("progress", { value: walked, max: Math.max(total, 1), "aria-label": "Rows that were hashed again" }),
    h("p", { class: "quiet" }, `${count(walked)} of ${count(total)} rows hashed again (${percent(share)})${left}. They are chained by their hashes, and compared with checkpoints outside of the database.`),
  ];
}

function outcome({ status, rows: walked, first_bad: bad, archived_rows: archived }) {
  const more = archived ? `${count(archived)} more stand in archives that fit into the chain.` : "";
  if (status === "verified") return notice("good", `Verified: ${count(walked)} rows are what was recorded.`, ...[more].filter(Boolean));
  return notice("bad", "The log is broken.", `${count(walked)} rows were looked at. The first that is not what was recorded is row ${bad.seq}: ${words(bad.reason)}.`,
    "Keep the database as it is and compare with the last export; docs/audit.md says how.");
}
