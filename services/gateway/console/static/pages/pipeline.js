// The five stages live, as a picture of the flow. What is wrong stands out, and says why.

import { h, morph, say } from "../dom.js";
import { watch } from "../events.js";
import { clock, count, duration, figure, moment, perSecond } from "../format.js";
import { badge, heading, notice, section, table } from "../parts.js";

const ROLES = {
  gateway: "takes requests",
  fraud: "screens them",
  transfer: "moves money",
  ledger: "books entries",
  audit: "records all of it",
};
const STATES = { ok: "All stages keep up", warning: "Something needs a look", critical: "Something is broken" };
const TONES = { ok: "good", warning: "warn", critical: "bad" };

export async function show(main, { signal }) {
  const connection = h("p", { class: "connection quiet" }, "Connecting …");
  const lost = h("div", { role: "status" });
  const body = h("div", {}, h("p", { class: "quiet", "aria-busy": "true" }, "Asking for the first look …"));
  main.replaceChildren(heading("Pipeline", connection), lost, body);
  let status;
  let seenAt;

  await watch("/admin/pipeline/events", {
    signal,
    onEvent(name, look) {
      if (name !== "look") return;
      seenAt = look.looked_at;
      morph(body, h("div", {}, drawn(look)));
      morph(connection, h("p", { class: "connection live" }, `Live, ${clock(seenAt)} UTC`));
      if (look.status !== status) say(`${STATES[look.status]}. ${look.problems.map(({ text }) => text).join(" ")}`);
      status = look.status;
    },
    onState(state, error) {
      body.classList.toggle("stale", state === "lost");
      if (state === "live") return lost.replaceChildren();
      const since = seenAt ? `What is shown is from ${clock(seenAt)} UTC.` : "Nothing was seen yet.";
      morph(connection, h("p", { class: "connection gone" }, "Not connected"));
      morph(lost, h("div", { role: "status" },
        notice("bad", error.message, `${since} The page connects again by itself; if it does not, see that a gateway runs.`)));
    },
  });
}

function drawn(look) {
  return [
    summary(look),
    h("ol", { class: "flow", "aria-label": "The five stages, in the order in which transfers pass them" },
      look.stages.map((stage) => h("li", { class: `at-${stage.stage}` }, arrow(stage), card(stage, look)))),
    h("ul", { class: "servers", "aria-label": "Servers" },
      look.servers.map(({ name, state }) => h("li", {}, name, " ", badge(state)))),
    section("Queues", queues(look)),
    section("Workers", workers(look)),
  ];
}

function summary(look) {
  const rates = Object.entries(look.settled_per_s ?? {}).map(([end, rate]) => `${perSecond(rate)} ${end}`);
  const settled = look.settled_per_s === null ? "How much settles is not known" : rates.length ? `Settled: ${rates.join(", ")}` : "Nothing settled in the last minute";
  const pending = look.pending === null ? "how many are pending is not known"
    : look.pending === 0 ? "none pending" : `${count(look.pending)} pending, the oldest for ${duration(look.oldest_pending_s)}`;
  return h("div", { class: `notice ${TONES[look.status]}` },
    h("strong", {}, STATES[look.status]),
    h("p", {}, `${settled}; ${pending}.`),
    look.problems.length > 0 && h("ul", { class: "problems" },
      look.problems.map((problem) => h("li", {}, badge(problem.severity), " ", problem.text,
        problem.code === "dead_letters_open" && [" ", h("a", { href: `#/letters?service=${problem.stage}` }, "Look at them")]))));
}

// What a stage does its work from comes first among its queues; the gateway has none.
const intake = (stage) => stage.queues[0];

function arrow(stage) {
  const queue = intake(stage);
  if (!queue) return null;
  const waits = queue.depth ?? "?";
  return h("div", { class: `arrow ${queue.depth > 0 ? "filled" : ""}` },
    h("span", {}, h("b", {}, typeof waits === "number" ? count(waits) : waits), " waiting", h("span", { class: "in" }, ` in ${queue.name}`)));
}

function card(stage, look) {
  const found = look.problems.filter((problem) => problem.stage === stage.stage);
  const worst = found.some(({ severity }) => severity === "critical") ? "bad" : found.length ? "warn" : "good";
  const word = { good: "Keeps up", warn: "Needs a look", bad: "Broken" }[worst];
  return h("div", { class: `stage ${worst}` },
    h("h2", {}, stage.stage, h("small", {}, ROLES[stage.stage])),
    h("p", { class: "rate" }, perSecond(rate(stage)), h("small", {}, stage.queues.length ? "items taken" : "transfers accepted")),
    h("p", { class: "state" }, word),
    h("dl", {}, details(stage).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    found.map(({ text }) => h("p", { class: "why" }, text)),
    Object.entries(stage.unknown).map(([part, why]) => h("p", { class: "why" }, `Not known: ${part.replaceAll("_", " ")} (${why})`)));
}

function details(stage) {
  const queue = intake(stage);
  const told = [["Workers", stage.instances === null ? "?" : count(stage.instances.length)]];
  if (!queue) return [["Calls in hand", count(total(stage, "calls_under_way"))], ...told];
  const { lag } = stage;
  return [
    ["Lag", lag ? `${duration(lag.age_s)}${lag.rows ? `, ${behind(lag)}` : ""}` : "?"],
    ["Items a batch", figure(batch(stage))],
    ["In hand", queue.unacknowledged === null ? "?" : count(queue.unacknowledged)],
    ...told,
    ["Dead letters", letters(stage)],
  ];
}

function letters({ stage, dead_letters_open: open }) {
  if (open === null) return "?";
  return open === 0 ? "0" : h("a", { href: `#/letters?service=${stage}` }, count(open));
}

const summed = (stage, kind, label) =>
  stage.instances === null ? null : stage.instances.reduce((sum, one) => sum + (one.rates[kind]?.[label] ?? 0), 0);
const total = (stage, name) =>
  stage.instances === null ? null : stage.instances.reduce((sum, one) => sum + (one.figures[name] ?? 0), 0);

function rate(stage) {
  const queue = intake(stage);
  return queue ? queue.delivered_per_s : summed(stage, "published", "transfer.requested");
}

function batch(stage) {
  const { name, delivered_per_s: items } = intake(stage);
  const batches = summed(stage, "batches", name);
  return batches ? items / batches : null;
}

function queues(look) {
  const rows = look.stages.flatMap((stage) => stage.queues);
  return table("Every queue; rates are items per second over the last minute", [
    { title: "Queue", of: ({ name }) => name },
    { title: "Waiting", number: true, of: ({ depth }) => (depth === null ? badge("down", "missing") : count(depth)) },
    { title: "In hand", number: true, of: ({ unacknowledged }) => count(unacknowledged) },
    { title: "Consumers", number: true, of: ({ consumers }) => count(consumers) },
    { title: "Published", number: true, of: ({ published_per_s: value }) => perSecond(value) },
    { title: "Delivered", number: true, of: ({ delivered_per_s: value }) => perSecond(value) },
  ], rows);
}

function workers(look) {
  const rows = look.stages.flatMap(({ stage, instances }) => (instances ?? []).map((one) => ({ stage, ...one })));
  return table("Every process, by its own word", [
    { title: "Stage", of: ({ stage }) => stage },
    { title: "Instance", of: ({ instance }) => h("code", {}, instance) },
    { title: "Since (UTC)", of: ({ started_at: at }) => moment(at) },
    { title: "Silent for", number: true, of: ({ silent_s: silent }) => duration(Math.round(silent)) },
    { title: "Put off", number: true, of: ({ chores }) => count(chores.reduce((sum, chore) => sum + chore.postponed, 0)) },
  ], rows, { empty: "No process has said anything yet." });
}

function behind({ rows, rows_capped: isCapped }) {
  return rows === 1 ? "1 row" : `${count(rows)}${isCapped ? "+" : ""} rows`;
}
