// The way in: an operator's e-mail address and password.

import { logIn } from "../api.js";
import { h } from "../dom.js";
import { failure, field, notice } from "../parts.js";

export function show(main, { why, onLogin }) {
  const said = h("div", {});
  const email = h("input", { type: "email", name: "email", autocomplete: "username", required: true, spellcheck: "false" });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const button = h("button", { type: "submit", class: "first" }, "Log in");
  const form = h("form", { class: "login", submit: (event) => (event.preventDefault(), tryIt()) },
    h("h1", { tabindex: "-1" }, "Remit console"),
    h("p", { class: "quiet" }, "For operators."),
    why && notice("calm", why),
    field("E-mail address", email),
    field("Password", password),
    said,
    button);

  async function tryIt() {
    button.disabled = true;
    try {
      onLogin(await logIn(email.value, password.value));
    } catch (error) {
      said.replaceChildren(failure(error));
      password.value = "";
      password.focus();
    } finally {
      button.disabled = false;
    }
  }

  main.replaceChildren(form);
  email.focus();
}
