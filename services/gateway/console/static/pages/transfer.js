// One transfer: what it is, where it was and when, what each service has of it, and why it does not go on.

import { h } from "../dom.js";
import { addressOf } from "../filters.js";
import { clock, duration, micros, money, moment, words } from "../format.js";
import { badge, facts, id, notice, section, shortId, stacking, table } from "../parts.js";

const FAILURES = {
  same_account: "Source and destination are the same account.",
  account_not_found: "There is no such source account, or it is not the caller's.",
  destination_not_found: "There is no such destination account.",
  account_closed: "One of the accounts is closed.",
  currency_mismatch: "The transfer's currency is not that of both accounts.",
  insufficient_funds: "The source account could not cover it.",
  balance_limit: "The destination account cannot hold that much.",
  retries_exhausted: "It was tried four times and could not be carried out.",
  internal_error: "It could not be carried out; the transfer worker's log says why.",
};
// Of what is shorter no axis is drawn: the pipeline that it is compared with was looked at up to a second ago.
const MOMENT_US = 1_000;
const STAGES = ["gateway", "fraud", "transfer", "ledger", "audit"];

/** What an operator's whole timeline tells, from the top down. */
export function drawTransfer(whole) {
  const { transfer, unknown } = whole;
  return [
    ...whole.waits.map((wait) => waitNotice(wait, whole.dead_letters)),
    summary(transfer),
    Object.keys(unknown).length > 0 && notice("warn", "Not all of it can be shown.",
      ...Object.entries(unknown).map(([part, why]) => `${part}: ${why}`)),
    section("Timeline", timeline(whole)),
    section("Verdict", verdict(whole)),
    section("Ledger entries", entries(whole)),
    whole.dead_letters.length > 0 && section("Dead letters", letters(whole.dead_letters)),
    section("Audit log", audited(whole.audit)),
  ].filter(Boolean);
}

function waitNotice({ stage, queue, waited_s: waitedS, stuck_because: because, evidence }, letters) {
  if (!because) return notice("calm", "Under way.", `It waits for ${stage} in ${queue}, ${waitedS ? `for ${duration(waitedS)} so far` : "since a moment ago"}.`);
  const open = letters.filter((letter) => letter.service === stage && letter.resolution === null);
  // The sentence ends with the first of them.
  return notice("warn", "Stuck because:", because, ...evidence.slice(1).map(({ text }) => text),
    ...open.map((letter) => h("a", { href: `#/letters/${letter.id}` }, "Look at its dead letter")));
}

function summary(transfer) {
  const owner = transfer.owner_id;
  const account = (of) => h("a", { href: addressOf("transfers", { account_id: of }) }, id(of));
  return h("div", { class: "card" },
    h("p", { class: "amount" }, money(transfer.amount, transfer.currency), " ", badge(transfer.status), transfer.is_deleted && [" ", badge("hidden")]),
    transfer.failure_reason && h("p", {}, FAILURES[transfer.failure_reason] ?? words(transfer.failure_reason)),
    facts([
      ["Transfer", id(transfer.id)],
      ["From account", account(transfer.from_account_id)],
      ["To account", account(transfer.to_account_id)],
      ["User whose it is", h("a", { href: addressOf("transfers", { user_id: owner }) }, id(owner))],
      ...(transfer.caller_id === owner ? [] : [["Asked for by", id(transfer.caller_id)]]),
      ["Idempotency key", id(transfer.idempotency_key)],
      ["Kind", transfer.kind],
      ["Description", transfer.description ?? "–"],
      ["Asked for (UTC)", moment(transfer.created_at, { precise: true })],
      ["Settled (UTC)", moment(transfer.settled_at, { precise: true })],
      ["Retries", String(transfer.retry_count)],
      ...(transfer.metadata ? [["Metadata", h("code", {}, JSON.stringify(transfer.metadata))]] : []),
    ]));
}

const SAYS = {
  gateway: ({ request_id: request }) => ["accepted, request ", id(request)],
  fraud: ({ verdict: given }) => [given],
  transfer: ({ status, failure_reason: why, retry_count: retries, seen_balance: seen }, { currency }) =>
    [status, why && `: ${words(why)}`, seen && `; it saw ${money(seen, currency)}`, retries > 0 && `, after ${retries} retries`],
  ledger: () => ["both entries booked"],
  audit: ({ seq }) => [`row ${seq}`],
};

function timeline({ hops, waits, unknown, transfer }) {
  const began = micros(hops[0].at);
  const known = new Map(hops.map((hop) => [hop.stage, hop]));
  const waiting = new Map(waits.map((wait) => [wait.stage, wait]));
  const ends = [...hops.map(({ at }) => micros(at)), ...waits.map((wait) => micros(wait.since) + wait.waited_s * 1e6)];
  const spanUs = Math.max(...ends.map((end) => end - began), 1);
  const place = (us) => Math.max(0, Math.min(100, ((us - began) / spanUs) * 100));
  const row = (stage) => {
    if (known.has(stage)) return passed(known.get(stage), transfer, place);
    if (waiting.has(stage)) return waited(waiting.get(stage), place);
    return absent(stage, unknown, transfer);
  };
  const stages = h("ol", { class: "timeline" }, STAGES.map(row));
  if (spanUs < MOMENT_US) return stages;
  const ticks = [0, 0.5, 1].map((share) => h("span", {}, duration((spanUs / 1e6) * share)));
  return [
    h("p", { class: "quiet" }, `${waits.length ? "So far" : "From the request to the last stage"}: ${duration(spanUs / 1e6)}. Each service tells when it committed, by its own clock.`),
    h("div", { class: "ticks", "aria-hidden": "true" }, ticks),
    stages,
  ];
}

function passed({ stage, at, after_s: afterS, detail }, transfer, place) {
  const end = micros(at);
  return line(stage, track(place(end - afterS * 1e6), place(end), "passed"),
    stage === "gateway" ? "start" : `+${duration(afterS)}`,
    SAYS[stage](detail, transfer), h("time", { datetime: at }, clock(at, { precise: true })));
}

function waited({ stage, since, waited_s: waitedS, stuck_because: because }, place) {
  const begin = micros(since);
  return line(stage, track(place(begin), place(begin + waitedS * 1e6), "waits"), duration(waitedS),
    [badge(because ? "warning" : "calm", because ? "stuck" : "waits")], null);
}

function absent(stage, unknown, { status }) {
  const movesNothing = stage === "ledger" && ["failed", "blocked"].includes(status);
  const why = unknown[stage] ? "not known" : movesNothing ? "nothing to book" : "not yet";
  return line(stage, h("span", { class: "track", "aria-hidden": "true" }), "", [h("span", { class: "quiet" }, why)], null);
}

function track(begin, end, kind) {
  const stretch = h("b", { class: kind });
  stretch.style.left = `${begin}%`;
  stretch.style.width = `${end - begin}%`;
  const dot = kind === "passed" && h("i", {});
  if (dot) dot.style.left = `${end}%`;
  return h("span", { class: "track", "aria-hidden": "true" }, stretch, dot);
}

const line = (stage, track, since, said, at) =>
  h("li", { class: `of-${stage}` }, h("span", { class: "stage-name" }, stage), track,
    h("span", { class: "since" }, since), h("span", { class: "said" }, said), at);

function verdict({ verdict: decided, transfer, unknown }) {
  const limits = h("p", {}, h("a", { href: `#/fraud/user/${transfer.owner_id}` }, "What this user has used of the limits now"));
  if (!decided) return [h("p", { class: "quiet" }, unknown.fraud ?? "Fraud has not decided yet."), limits];
  const said = h("p", {}, badge(decided.verdict), decided.policy === "operator" ? " as an operator's: it counts against no limit." : ` under policy ${decided.policy}, limits `,
    decided.policy !== "operator" && id(decided.limits_version));
  const released = decided.released_at && h("p", { class: "quiet" }, `Its amount counts no more, since ${moment(decided.released_at)} UTC.`);
  return [said, released, exceeded(decided.reasons, transfer), limits];
}

function exceeded(reasons, { currency }) {
  if (reasons.length === 0) return h("p", { class: "quiet" }, "No limit spoke against it.");
  const shown = ({ code }, value) => (code.includes("amount") ? money(String(value), currency) : String(value));
  return stacking(table("The limits that it exceeds, and what was used of them when it was screened", [
    { title: "Limit", of: ({ code }) => words(code) },
    { title: "At most", number: true, of: (reason) => shown(reason, reason.limit) },
    { title: "Used before", number: true, of: (reason) => shown(reason, reason.usage) },
    { title: "Attempted", number: true, of: (reason) => shown(reason, reason.attempted) },
  ], reasons));
}

function entries({ entries: booked, transfer, unknown }) {
  if (!booked) return h("p", { class: "quiet" }, unknown.ledger);
  const empty = { completed: "The ledger has not booked it yet.", pending: "None yet: it is booked when it has settled." }[transfer.status]
    ?? "None: only a completed transfer has entries.";
  return stacking(table("Both entries, with the balances before and after", [
    { title: "Direction", of: ({ direction }) => direction },
    { title: "Account", of: ({ account_id: account }) => id(account) },
    { title: "Position", number: true, of: ({ account_seq: place }) => String(place) },
    { title: "Before", number: true, of: (entry) => money(entry.balance_before, entry.currency) },
    { title: "Amount", number: true, of: (entry) => money(entry.amount, entry.currency) },
    { title: "After", number: true, of: (entry) => money(entry.balance_after, entry.currency) },
  ], booked, { empty }));
}

function letters(parked) {
  return stacking(table("What of it could not be carried, and was parked", [
    { title: "Parked (UTC)", of: (letter) => h("a", { href: `#/letters/${letter.id}` }, moment(letter.parked_at)) },
    { title: "Service", of: ({ service }) => service },
    { title: "Message", of: ({ message_type: type }) => type },
    { title: "Why", of: ({ reason }) => words(reason) },
    { title: "State", of: ({ resolution }) => badge(resolution ?? "warning", resolution ?? "open") },
  ], parked));
}

function audited(rows) {
  if (!rows) return h("p", { class: "quiet" }, "The audit log could not be read.");
  return stacking(table("Its rows in the audit log, newest first; looking at it here becomes one of them", [
    { title: "Row", number: true, of: ({ seq }) => String(seq) },
    { title: "At (UTC)", of: ({ occurred_at: at }) => h("time", { datetime: at }, moment(at, { precise: true })) },
    { title: "Action", of: ({ action }) => action },
    { title: "Status", of: ({ status }) => badge(status) },
    { title: "User", of: ({ user_id: user }) => shortId(user, `#/audit?user_id=${user}`) },
    { title: "Address", of: ({ ip_address: address }) => address ?? "–" },
    { title: "Request", of: ({ request_id: request }) => id(request) },
  ], rows, { empty: "No rows yet." }));
}
