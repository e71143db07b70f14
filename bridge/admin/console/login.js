// Asks for the token when the API wants one. It is kept for this tab only.

import { get, token } from "./api.js";
import { fill, h } from "./dom.js";
import { field } from "./parts.js";

export function login({ main, query, title, go }) {
  title("Log in");
  const input = h("input", { type: "password", required: true, autocomplete: "current-password", spellcheck: "false" });
  const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
  const form = h("form", { class: "card login", on: { submit: (event) => { event.preventDefault(); tried(); } } },
    h("h1", {}, "Log in"),
    h("p", {}, "This bridge wants its admin token: ", h("code", {}, "ocpp-bridge token"),
      " prints it on the machine where the bridge runs. Your own token, if you were given one, does as well."),
    field("Admin token", input), wrong,
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Log in")),
    h("p", { class: "quiet" }, "Kept in this tab until it is closed."));
  fill(main, form);
  input.focus();

  async function tried() {
    token.set(input.value.trim());
    try {
      await get("/charge-points", { limit: 1 });
      const then = query.get("then") ?? "";
      go(then.startsWith("#/") && !then.startsWith("#/login") ? then : "#/");
    } catch (error) {
      token.drop();
      wrong.textContent = error.status === 401 ? "That is not the token." : error.message;
      wrong.hidden = false;
      input.select();
    }
  }
}
