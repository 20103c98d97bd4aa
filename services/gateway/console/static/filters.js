// Forms that search: what is chosen stands in the address, and what the API does not take is said at its field.

import { Refused } from "./api.js";
import { h } from "./dom.js";
import { fill, notice } from "./parts.js";

/** What of `names` the address asks for. */
export const chosenOf = (query, names) => Object.fromEntries(names.map((name) => [name, query.get(name) ?? ""]));

/** The address of a page with what was chosen, and without what was not. */
export function addressOf(page, chosen) {
  const query = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
  return `#/${page}${query.size ? `?${query}` : ""}`;
}

/** Goes there; whoever is there already asks again. */
export function go(address) {
  if (location.hash === address) window.dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = address;
}

/** Fills `place` with what `make` gives; an answer that names fields of `form` is said at them. */
export function fillFrom(form, place, what, make) {
  return fill(place, what, async () => {
    try {
      return await make();
    } catch (error) {
      if (!(error instanceof Refused) || !error.errors.length || !error.errors.every((wrong) => mark(form, wrong))) throw error;
      return notice("warn", "Nothing was looked for.", "Put right what is marked, then ask again.");
    }
  });
}

function mark(form, { field: name, message }) {
  const control = form.elements.namedItem(name);
  if (!control) return false;
  const said = h("p", { class: "wrong", id: `wrong-${name}` }, message);
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-describedby", [control.getAttribute("aria-describedby"), said.id].filter(Boolean).join(" "));
  control.closest("details")?.setAttribute("open", "");
  control.after(said);
  return true;
}
