// The frame of the console: who is logged in, which page is shown, which theme.

import { logOut, onSessionEnd, session, stay } from "./api.js";
import { h, say } from "./dom.js";
import { failure } from "./parts.js";

// Each page is a module of its own that exports `show(main, {rest, query, signal})`; it is loaded when it is opened.
const PAGES = {
  pipeline: { title: "Pipeline", load: () => import("./pages/pipeline.js") },
  transfers: { title: "Transfers", load: () => import("./pages/transfers.js") },
  fraud: { title: "Fraud", load: () => import("./pages/fraud.js") },
  audit: { title: "Audit", load: () => import("./pages/audit.js") },
  ledger: { title: "Ledger", load: () => import("./pages/ledger.js") },
  accounts: { title: "Accounts", load: () => import("./pages/accounts.js") },
  letters: { title: "Dead letters", load: () => import("./pages/letters.js") },
};
const HOME = "pipeline";
const RENEW_BEFORE_S = 120;
const THEMES = ["auto", "light", "dark"];

const main = document.getElementById("main");
let shown = new AbortController();
let renewal;
let isIn = false;

function address() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decodeURIComponent);
  return { name: PAGES[name] ? name : HOME, rest, query: new URLSearchParams(query) };
}

function emptied(title) {
  shown.abort();
  shown = new AbortController();
  document.title = `${title} · Remit console`;
  say("");
  main.replaceChildren();
  return shown.signal;
}

async function open() {
  if (!isIn) return;
  const { name, rest, query } = address();
  const signal = emptied(PAGES[name].title);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    // On a phone the pages are a row that is pushed sideways.
    if (link.dataset.page === name) link.scrollIntoView({ block: "nearest", inline: "center" });
  }
  try {
    const page = await PAGES[name].load();
    if (!signal.aborted) await page.show(main, { rest, query, signal });
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    main.replaceChildren(failure(error, open));
  }
}

function opened() {
  // Whoever is at work on the page already is left alone; what is wrong comes first.
  const first = () => main.querySelector("[aria-invalid]") ?? main.querySelector("h1");
  open().then(() => main.contains(document.activeElement) || first()?.focus({ preventScroll: true }));
  window.scrollTo(0, 0);
}

async function askForPassword(why) {
  isIn = false;
  clearTimeout(renewal);
  const signal = emptied("Log in");
  document.getElementById("nav").replaceChildren();
  document.getElementById("who").replaceChildren(themeSwitch());
  const { show } = await import("./pages/login.js");
  show(main, { why, signal, onLogin: enter });
}

function enter(found) {
  isIn = true;
  document.getElementById("nav").replaceChildren(
    h("ul", {}, Object.entries(PAGES).map(([name, { title }]) =>
      h("li", {}, h("a", { href: `#/${name}`, "data-page": name }, title)))));
  document.getElementById("who").replaceChildren(
    h("span", { class: "quiet name" }, found.user.email ?? found.user.full_name),
    themeSwitch(),
    h("button", { type: "button", click: leave }, "Log out"));
  renewBefore(found);
  opened();
}

function renewBefore({ expires_in: expiresIn, ends_in: endsIn }) {
  clearTimeout(renewal);
  if (endsIn <= expiresIn) {
    renewal = setTimeout(() => askForPassword("The session has ended, as it does after twelve hours."), endsIn * 1000);
    return;
  }
  const waitS = Math.max(expiresIn - RENEW_BEFORE_S, expiresIn / 2);
  renewal = setTimeout(() => stay().then(renewBefore, () => isIn && renewBefore({ expires_in: 10, ends_in: 60 })), waitS * 1000);
}

async function leave() {
  try {
    await logOut();
    await askForPassword("You are logged out.");
  } catch (error) {
    if (error.status === 401) await askForPassword("You are logged out.");
    else main.prepend(failure(error));
  }
}

function themeSwitch() {
  const chosen = () => localStorage.getItem("remit-theme") ?? "auto";
  const button = h("button", { type: "button", class: "theme", click: turn }, "");
  const label = () => (button.textContent = `Theme: ${chosen()}`);
  function turn() {
    const next = THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length];
    localStorage.setItem("remit-theme", next);
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    label();
  }
  label();
  return button;
}

onSessionEnd(() => isIn && askForPassword("Your session has ended. Log in again to go on where you were."));
window.addEventListener("hashchange", opened);
document.querySelector(".skip").addEventListener("click", (event) => {
  // The address is the page's.
  event.preventDefault();
  main.focus();
});
try {
  const found = await session();
  if (found) enter(found);
  else await askForPassword("");
} catch (error) {
  main.replaceChildren(failure(error, () => location.reload()));
  say(error.message);
}
