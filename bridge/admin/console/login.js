// Asks for the token when the API wants one, and offers to sign in at the provider if the bridge knows one. The token is
// kept for this tab only.

import { get, token } from "./api.js";
import { fill, h } from "./dom.js";
import { field } from "./parts.js";

export function login({ main, query, signal, title, go }) {
  title("Log in");
  const asked = query.get("then") ?? "";
  const then = asked.startsWith("#/") && !asked.startsWith("#/login") ? asked : "#/";
  const offer = h("div", { class: "offer", hidden: true });
  const input = h("input", { type: "password", required: true, autocomplete: "current-password", spellcheck: "false" });
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const form = h("form", { class: "card login", on: { submit: (event) => { event.preventDefault(); tried(); } } },
    h("h1", {}, "Log in"),
    offer,
    h("p", {}, "This bridge takes its admin token: ", h("code", {}, "ocpp-bridge token"),
      " prints it on the machine where the bridge runs. Your own token, if you were given one, does as well."),
    field("Admin token", input), wrong,
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Log in")),
    h("p", { class: "quiet" }, "Kept in this tab until it is closed."));
  fill(main, form);
  input.focus();
  offered();

  async function offered() {
    let told = null;
    try { told = await (await fetch("/login/options", { cache: "no-store", signal })).json(); } catch { return; }
    if (!told.offer || signal.aborted) return;
    const { name, url, trouble } = told.offer;
    fill(offer,
      h("a", { class: "button primary", href: `${url}?${new URLSearchParams({ next: then })}` }, `Sign in with ${name}`),
      trouble ? h("p", { class: "wrong", role: "alert" }, `Nobody can sign in there now: ${trouble}. A token works.`) : null);
    offer.hidden = false;
  }

  async function tried() {
    token.set(input.value.trim());
    try {
      await get("/charge-points", { limit: 1 });
      go(then);
    } catch (error) {
      token.drop();
      wrong.textContent = error.status === 401 ? "That is not the token." : error.message;
      wrong.hidden = false;
      input.select();
    }
  }
}
