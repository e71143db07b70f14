// A command to a Charge Point: choose the action, fill in what the model wants, see what it answers.

import { chargePoint, get, post } from "./api.js";
import { button, copyButton, fill, h, icon, say } from "./dom.js";
import { formOf } from "./form.js";
import { ask, offer } from "./keys.js";
import { badge, choice, codeOf, field, loaded, rawOf, trouble } from "./parts.js";
import { problems } from "./schema.js";
import { stream } from "./stream.js";
import { ms, outcomeOf, textOf } from "./words.js";
import { parsed } from "./wire.js";

const FIRST = "TriggerMessage";

export function command({ main, signal, title, go }, identity, action) {
  title(`Command ${identity}`);
  const back = `#/charge-points/${encodeURIComponent(identity)}`;
  const place = h("div", { class: "columns even" });
  fill(main, h("div", { class: "top" }, h("div", { class: "heading" }, h("a", { href: back, class: "crumb identity" }, identity), h("h1", {}, "Send a command"))), place);
  stream.follow(identity);
  offer({ Escape: () => go(back) }, signal);
  loaded(place, signal, () => get("/actions", {}, signal), (actions) => {
    const known = Object.entries(actions).filter(([, each]) => takenByChargePoint(each)).sort(([one], [two]) => one.localeCompare(two));
    const chosen = known.some(([name]) => name === action) ? action : known.some(([name]) => name === FIRST) ? FIRST : known[0]?.[0];
    new Command(place, signal, identity, Object.fromEntries(known)).begin(chosen);
  });
}

// What a Central System sends, or both do.
function takenByChargePoint({ direction }) {
  return direction.includes("central_system");
}

class Command {
  constructor(place, signal, identity, actions) {
    Object.assign(this, { place, signal, identity, actions, byHand: false });
    this.body = h("div", {});
    this.answer = h("section", { class: "card answer", "aria-live": "polite" }, h("h2", {}, "Answer"), h("p", { class: "quiet" }, "What the Charge Point answers is shown here."));
    this.general = h("p", { class: "wrong", role: "alert", hidden: true });
  }

  begin(action) {
    const select = choice(Object.entries(this.actions).map(([name, each]) => [name, each.dangerous ? `${name} (asks first)` : name]), action, (name) => this.#choose(name));
    this.toggle = button("Edit as JSON", () => this.#toggle(), { class: "small", "aria-pressed": "false" });
    this.sender = h("button", { type: "submit", class: "primary" }, "Send");
    const form = h("form", { class: "card command", novalidate: true, on: { submit: (event) => { event.preventDefault(); this.#send(); } } },
      h("div", { class: "filters" }, field("Action", select), this.toggle), this.body, this.general, h("div", { class: "buttons" }, this.sender));
    fill(this.place, form, this.answer);
    this.#choose(action);
  }

  #choose(action) {
    this.action = action;
    this.payload = {};
    const page = `#/charge-points/${encodeURIComponent(this.identity)}/command`;
    // Who went elsewhere before the actions were here has changed the address already, and is shown that page next.
    if (location.hash.startsWith(page)) history.replaceState(null, "", `${page}/${encodeURIComponent(action)}`);
    this.#draw();
  }

  get #schema() {
    return this.actions[this.action].request_schema;
  }

  #draw() {
    this.general.hidden = true;
    this.toggle.textContent = this.byHand ? "Edit as a form" : "Edit as JSON";
    this.toggle.setAttribute("aria-pressed", String(this.byHand));
    if (this.byHand) {
      this.area = h("textarea", { class: "json", rows: 16, spellcheck: "false", value: JSON.stringify(this.payload, null, 2), "aria-label": "Payload as JSON" });
      return fill(this.body, this.area);
    }
    this.form = formOf(this.#schema, this.payload, () => { this.general.hidden = true; });
    const empty = !Object.keys(this.payload).length && !this.form.element.childElementCount;
    return fill(this.body, empty ? h("p", { class: "quiet" }, "This action has no fields.") : this.form.element);
  }

  // What was written so far goes along; JSON that cannot be read stays until it can.
  #toggle() {
    const payload = this.#read();
    if (payload === undefined) return;
    this.payload = payload;
    this.byHand = !this.byHand;
    this.#draw();
  }

  #read() {
    if (!this.byHand) return this.form.read();
    try {
      return JSON.parse(this.area.value || "{}");
    } catch (error) {
      this.#wrong(`This is no JSON: ${error.message}`);
      this.area.focus();
      return undefined;
    }
  }

  #wrong(text) {
    this.general.textContent = text;
    this.general.hidden = false;
  }

  #checked() {
    this.general.hidden = true;
    const payload = this.#read();
    if (payload === undefined) return undefined;
    const found = problems(payload, this.#schema, this.#schema);
    const rest = this.byHand ? found : this.form.show(found);
    if (rest.length) this.#wrong(rest.map((each) => `${each.path.join(".") || "payload"} ${each.text}`).join("; "));
    return found.length ? undefined : payload;
  }

  async #send() {
    const payload = this.#checked();
    if (payload === undefined || (this.actions[this.action].dangerous && !(await this.#sure(payload)))) return;
    this.sender.disabled = true;
    this.sender.textContent = "Waiting for the answer…";
    try {
      this.#show(await post(chargePoint(this.identity, "/calls"), { action: this.action, payload }));
    } catch (error) {
      if (error.status === undefined) throw error;
      fill(this.answer, h("h2", {}, "Answer"), trouble(error));
    } finally {
      this.sender.disabled = false;
      this.sender.textContent = "Send";
    }
  }

  #sure(payload) {
    return ask({
      heading: `${this.action} ${this.identity}?`, label: `Send ${this.action}`, danger: true,
      body: h("div", {}, h("p", {}, WARNINGS[this.action] ?? "This changes what the Charge Point does for whoever stands in front of it."), code(payload)),
    });
  }

  #show(answer) {
    const error = answer.error;
    const shape = outcomeOf(answer.outcome);
    fill(this.answer, h("h2", {}, "Answer to ", h("span", {}, this.action), " ", badge(shape), " ", h("small", { class: "quiet" }, ms(answer.ms))),
      error ? h("p", { class: "why" }, icon("warning"), h("span", {}, textOf(error))) : null,
      answer.why ? h("p", {}, answer.why) : null,
      answer.payload === undefined || answer.payload === null ? null : code(answer.payload),
      error?.details && Object.keys(error.details).length ? code(error.details) : null,
      h("p", { class: "quiet" }, "Unique id ", h("code", {}, answer.unique_id ?? "–")));
    say(`${this.action}: ${shape.word} ${textOf(answer.payload?.status ?? "")}`);
  }
}

const WARNINGS = {
  Reset: "The Charge Point restarts. A hard reset ends open transactions.",
  UnlockConnector: "The cable comes free, and a transaction on that connector ends.",
  UpdateFirmware: "The Charge Point installs other software and is out of service meanwhile.",
};

function code(value) {
  const text = JSON.stringify(value, null, 2), read = parsed(text, true);
  return h("div", { class: "panel" }, h("header", {}, copyButton(text, "the JSON")), read ? codeOf("JSON", read.lines) : rawOf("JSON", text));
}
