// Dead letters: what a worker could not carry. Looked at, tried again, or given up.

import { ask, get } from "../api.js";
import { h, say } from "../dom.js";
import { count, moment, words } from "../format.js";
import { badge, choice, confirmed, facts, failure, field, fill, heading, id, notice, table } from "../parts.js";

const SERVICES = [["", "All services"], ["fraud", "fraud"], ["transfer", "transfer"], ["ledger", "ledger"], ["audit", "audit"]];

export async function show(main, { rest: [letter], query, signal }) {
  await (letter ? one(main, letter, signal) : list(main, query, signal));
}

async function list(main, query, signal) {
  const chosen = { service: query.get("service") ?? "", all: query.get("all") ?? "" };
  const form = h("form", { class: "row", change: () => go(form) },
    field("Service", choice("service", SERVICES, chosen.service)),
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "all", value: "1", checked: chosen.all === "1" }), "Resolved ones too"));
  const found = h("div", {});
  main.replaceChildren(heading("Dead letters"), form, found);
  const more = async (cursor) => {
    const asked = { service: chosen.service, include_resolved: chosen.all ? "true" : "", cursor };
    const page = await get("/admin/dead-letters", asked, signal);
    const next = page.next_cursor && h("button", { type: "button", click: () => fill(found, "older letters", () => more(page.next_cursor)) }, "Older ones");
    return [lettersTable(page.items, chosen.all), next].filter(Boolean);
  };
  await fill(found, "the letters", () => more(""));
}

function go(form) {
  location.hash = `#/letters?${new URLSearchParams([...new FormData(form)].filter(([, value]) => value))}`;
}

function lettersTable(items, withResolved) {
  if (items.length === 0 && !withResolved) {
    return notice("good", "Nothing waits for you.", "What a worker cannot carry is parked and shown here until an operator decides.");
  }
  return table("Newest first", [
    { title: "Parked (UTC)", of: (letter) => h("a", { href: `#/letters/${letter.id}` }, moment(letter.parked_at)) },
    { title: "Service", of: ({ service }) => service },
    { title: "Message", of: ({ message_type: type }) => type },
    { title: "Why", of: ({ reason }) => words(reason) },
    { title: "Times", number: true, of: ({ times_parked: times }) => count(times) },
    { title: "State", of: ({ resolution }) => badge(resolution ?? "warning", resolution ?? "open") },
  ], items, { empty: "No letters, open or resolved." });
}

async function one(main, letter, signal) {
  const done = h("div", { role: "status" });
  const found = h("div", {});
  main.replaceChildren(heading("Dead letter"), h("p", { class: "back" }, h("a", { href: "#/letters" }, "All dead letters")), done, found);
  const path = `/admin/dead-letters/${encodeURIComponent(letter)}`;
  const look = () => fill(found, "the letter", async () => drawn(await get(path, {}, signal), { path, done, look, signal }));
  await look();
}

function drawn(letter, parts) {
  return [
    facts([
      ["State", badge(letter.resolution ?? "warning", letter.resolution ?? "open")],
      ["Service", letter.service],
      ["Message", letter.message_type],
      ["Why", words(letter.reason)],
      ["From queue", letter.origin],
      ["Parked (UTC)", moment(letter.parked_at)],
      ["Times parked", count(letter.times_parked)],
      ["Size", `${count(letter.item_bytes)} bytes`],
      ...(letter.resolved_at ? [["Resolved (UTC)", moment(letter.resolved_at)], ["By", id(letter.resolved_by)]] : []),
    ]),
    h("div", { class: "actions" }, acts(letter, parts)),
    h("h2", {}, "What went wrong"),
    h("pre", { tabindex: "0", "aria-label": "What went wrong" }, letter.detail || "Nothing was said."),
    h("h2", {}, "The item"),
    h("pre", { tabindex: "0", "aria-label": "The item" }, laidOut(letter.item)),
  ];
}

function acts(letter, parts) {
  if (letter.resolution !== null) return h("p", { class: "quiet" }, `It was ${letter.resolution}; nothing is left to decide.`);
  const replay = {
    method: "POST", path: `${parts.path}/replay`, act: "Replay", title: "Try this letter again?",
    says: [`The item goes back to ${letter.service}, which does with it what it does with any other.`,
      "If it was done in the meantime, nothing happens twice. If it fails again, the letter stays open. The act is audited under your name."],
  };
  const discard = {
    method: "DELETE", path: parts.path, act: "Discard", title: "Give this letter up?", isGrave: true,
    says: [`Nobody will be asked about it any more, and ${letter.service} will not get it again. The row stays, with your name.`,
      "If the item belongs to a transfer that has not ended, that transfer stays where it is."],
  };
  return [replay, discard].map((act) =>
    h("button", { type: "button", class: act.isGrave ? "grave" : "first", click: () => decide(act, parts) }, `${act.act} …`));
}

async function decide(act, { done, look, signal }) {
  if (!(await confirmed(act))) return;
  try {
    const response = await ask(act.method, act.path, { signal });
    done.replaceChildren(await outcome(act, response));
  } catch (error) {
    done.replaceChildren(failure(error));
  }
  await look();
}

async function outcome(act, response) {
  if (response.status === 202) return told("warn", "Asked for, not done yet.", "The service has not answered; look again in a moment.");
  if (act.method === "DELETE") return told("good", "Discarded.");
  const letter = await response.json();
  return letter.resolution ? told("good", `It was ${words(letter.resolution)}.`) : told("bad", "It failed again and stays open.", "What went wrong is below.");
}

function told(tone, title, ...content) {
  say(title);
  return notice(tone, title, ...content);
}

function laidOut(item) {
  try {
    return JSON.stringify(JSON.parse(item), null, 2);
  } catch {
    return item;
  }
}
