// What fraud has decided: over time, by reason, by user, in money; and what one user has used of his limits.

import { get } from "../api.js";
import { stackedBars } from "../charts.js";
import { h } from "../dom.js";
import { addressOf, fillFrom, go } from "../filters.js";
import { count, money, moment, percent, words } from "../format.js";
import { facts, field, heading, notice, section, shortId, stacking, table } from "../parts.js";
import { showUsage, userForm } from "./usage.js";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const DAYS = 30;
const DAYS_MAX = 366;
const HOURLY_DAYS_MAX = 2;
// Beside the card's padding, of a chart.
const widthIn = (place) => place.clientWidth - 34;
const day = (ms) => new Date(ms).toISOString().slice(0, 10);
const lastDays = (days) => ({ start_date: day(Date.now() - (days - 1) * DAY_MS), end_date: day(Date.now()) });

export async function show(main, { rest: [what, user], query, signal }) {
  if (what === "user" && user) return showUsage(main, user, signal);
  const { start_date: start, end_date: end } = lastDays(DAYS);
  const chosen = { start_date: query.get("start_date") ?? start, end_date: query.get("end_date") ?? end };
  const form = datesForm(chosen);
  const found = h("div", {});
  main.replaceChildren(heading("Fraud"), userForm(), form, found);
  await fillFrom(form, found, "the decisions", async () => drawn(await get("/admin/fraud-stats", chosen, signal), chosen, widthIn(found)));
}

function datesForm(chosen) {
  const form = h("form", { class: "row", role: "search", submit: (event) => {
    event.preventDefault();
    go(addressOf("fraud", Object.fromEntries(new FormData(form))));
  } },
  field("From (UTC)", h("input", { type: "date", name: "start_date", value: chosen.start_date, required: true })),
  field("To, with that day", h("input", { type: "date", name: "end_date", value: chosen.end_date, required: true })),
  h("button", { type: "submit", class: "first" }, "Show"),
  [["Today", 1], ["7 days", 7], ["30 days", DAYS]].map(([text, days]) => h("a", { class: "button", href: addressOf("fraud", lastDays(days)) }, text)));
  return form;
}

function drawn(stats, chosen, width) {
  if (stats.total_checks === 0) return notice("calm", "Nothing was screened in these days.", "Choose others, or send a transfer.");
  const days = (Date.parse(chosen.end_date) - Date.parse(chosen.start_date)) / DAY_MS + 1;
  return [
    facts([
      ["Screened", count(stats.total_checks)],
      ["Approved", count(stats.approved)],
      ["Blocked", count(stats.blocked)],
      ["Share blocked", percent(stats.block_rate)],
    ]),
    stats.by_hour && days <= HOURLY_DAYS_MAX
      ? section("By hour", overTime(everyHour(stats.by_hour, chosen), "hour", width))
      : section("By day", overTime(everyDay(stats.by_day, chosen), "day", width)),
    section("By reason", byReason(stats)),
    section("By user", byUser(stats.by_user, chosen)),
    section("In money", amounts(stats)),
  ];
}

/** Days on which nothing was screened have their place on the axis too. */
function everyDay(days, { start_date: start, end_date: end }) {
  const known = new Map(days.map((one) => [one.date, one]));
  const all = [];
  for (let ms = Date.parse(end); ms >= Date.parse(start) && all.length < DAYS_MAX; ms -= DAY_MS) {
    const { approved, blocked } = known.get(day(ms)) ?? { approved: 0, blocked: 0 };
    all.unshift({ at: day(ms), label: day(ms).slice(5), approved, blocked });
  }
  return all;
}

function everyHour(hours, { start_date: start, end_date: end }) {
  const known = new Map(hours.map((one) => [Date.parse(one.at), one]));
  const all = [];
  for (let ms = Date.parse(start); ms < Date.parse(end) + DAY_MS; ms += HOUR_MS) {
    const { approved, blocked } = known.get(ms) ?? { approved: 0, blocked: 0 };
    const at = new Date(ms).toISOString();
    all.push({ at: `${at.slice(0, 10)} ${at.slice(11, 16)}`, label: at.slice(11, 16), approved, blocked });
  }
  return all;
}

function overTime(times, unit, width) {
  const bars = times.map(({ at, label, approved, blocked }) => ({
    label,
    name: at,
    parts: [{ kind: "approved", value: approved }, { kind: "blocked", value: blocked }],
  }));
  const isCut = unit === "day" && times.length === DAYS_MAX;
  return [
    h("p", { class: "legend" }, h("span", { class: "key approved" }, "approved"), h("span", { class: "key blocked" }, "blocked"),
      isCut && h("span", { class: "quiet" }, `The last ${DAYS_MAX} days are drawn; all are counted.`)),
    h("div", { class: "card" }, stackedBars({ title: `Transfers screened, by ${unit}, approved and blocked; the table below has the figures`, unit: `transfers per ${unit} (UTC)`, bars, width })),
    h("details", {}, h("summary", {}, "The same as a table"), table(`Transfers screened, by ${unit} (UTC)`, [
      { title: unit === "day" ? "Day" : "Hour from", of: ({ at }) => at },
      { title: "Approved", number: true, of: ({ approved }) => count(approved) },
      { title: "Blocked", number: true, of: ({ blocked }) => count(blocked) },
    ], times)),
  ];
}

function byReason({ by_reason: reasons, blocked }) {
  const rows = Object.entries(reasons).sort(([, one], [, other]) => other - one);
  const most = Math.max(...rows.map(([, times]) => times), 1);
  return table("How often each limit spoke against a transfer; one transfer can exceed several", [
    { title: "Reason", of: ([code]) => words(code) },
    { title: "Times", number: true, of: ([, times]) => count(times) },
    { title: `Of ${count(blocked)} blocked`, wide: true, of: ([code, times]) => h("meter", { min: 0, max: Math.max(blocked, most), value: times, "aria-label": `${words(code)}: ${times} of ${blocked}` }) },
  ], rows, { empty: "Nothing was blocked." });
}

function byUser(users, { start_date: start, end_date: end }) {
  const blocked = (user) => addressOf("transfers", { user_id: user, status: "blocked", start_date: start, end_date: end });
  return stacking(table("Who was blocked most often, twenty at most", [
    { title: "User, with limits", of: ({ user_id: user }) => shortId(user, `#/fraud/user/${user}`) },
    { title: "Blocked", number: true, of: ({ user_id: user, blocked: times }) => h("a", { href: blocked(user) }, count(times)) },
    { title: "For", of: ({ by_reason: reasons }) => Object.entries(reasons).map(([code, times]) => `${words(code)} ${count(times)}×`).join(", ") },
    { title: "Last (UTC)", of: ({ last_blocked_at: at }) => h("time", { datetime: at }, moment(at)) },
  ], users, { empty: "Nobody was blocked." }));
}

function amounts({ approved_amount: approved, blocked_amount: blocked }) {
  const currencies = [...new Set([...Object.keys(approved), ...Object.keys(blocked)])].sort();
  return table("Amounts by currency; currencies are never added", [
    { title: "Currency", of: (currency) => currency },
    { title: "Approved", number: true, of: (currency) => (approved[currency] ? money(approved[currency]) : "–") },
    { title: "Blocked", number: true, of: (currency) => (blocked[currency] ? money(blocked[currency]) : "–") },
  ], currencies);
}
