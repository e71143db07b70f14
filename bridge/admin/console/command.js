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
    const { known, first } = commandsOf(actions, action);
    new Command(place, identity, known).begin(first);
  });
}

// The actions that a Central System sends, by name, and the one to begin with: `wanted` if there is such a one.
export function commandsOf(actions, wanted) {
  const known = Object.entries(actions).filter(([, { direction }]) => direction.includes("central_system")).sort(([one], [two]) => one.localeCompare(two));
  const first = [wanted, FIRST].find((name) => known.some(([each]) => each === name)) ?? known[0]?.[0];
  return { known: Object.fromEntries(known), first };
}

// The form of a command: the action, its fields or its JSON, and a button.
// actions  by name, as the API has them
// label    of the button
// chosen   (action) => nothing: told which action is shown
// send     (action, payload) => a promise: what the button does with what was checked
// busy     the button's words meanwhile
export class CommandForm {
  constructor({ actions, label, chosen = () => {}, send, busy }) {
    Object.assign(this, { actions, label, chosen, send, busy, byHand: false });
    this.body = h("div", {});
    this.general = h("p", { class: "wrong", role: "alert", hidden: true });
  }

  begin(action) {
    const select = choice(Object.entries(this.actions).map(([name, each]) => [name, each.dangerous ? `${name} (asks first)` : name]), action, (name) => this.#choose(name));
    this.toggle = button("Edit as JSON", () => this.#toggle(), { class: "small", "aria-pressed": "false" });
    this.sender = h("button", { type: "submit", class: "primary" }, this.label);
    this.element = h("form", { class: "card command", novalidate: true, on: { submit: (event) => { event.preventDefault(); this.#send(); } } },
      h("div", { class: "filters" }, field("Action", select), this.toggle), this.body, this.general, h("div", { class: "buttons" }, this.sender));
    this.#choose(action);
    return this.element;
  }

  #choose(action) {
    this.action = action;
    this.payload = {};
    this.chosen(action);
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
    if (payload === undefined) return;
    this.sender.disabled = true;
    this.sender.textContent = this.busy;
    try {
      await this.send(this.action, payload);
    } finally {
      this.sender.disabled = false;
      this.sender.textContent = this.label;
    }
  }
}

class Command {
  constructor(place, identity, actions) {
    Object.assign(this, { place, identity, actions });
    this.answer = h("section", { class: "card answer", "aria-live": "polite" }, h("h2", {}, "Answer"), h("p", { class: "quiet" }, "What the Charge Point answers is shown here."));
  }

  begin(action) {
    const form = new CommandForm({
      actions: this.actions, label: "Send", busy: "Waiting for the answer…",
      chosen: (name) => this.#remember(name), send: (name, payload) => this.#send(name, payload),
    });
    fill(this.place, form.begin(action), this.answer);
  }

  #remember(action) {
    const page = `#/charge-points/${encodeURIComponent(this.identity)}/command`;
    // Who went elsewhere before the actions were here has changed the address already, and is shown that page next.
    if (location.hash.startsWith(page)) history.replaceState(null, "", `${page}/${encodeURIComponent(action)}`);
  }

  async #send(action, payload) {
    if (this.actions[action].dangerous && !(await sure(action, this.identity, payload))) return;
    try {
      this.#show(action, await post(chargePoint(this.identity, "/calls"), { action, payload }));
    } catch (error) {
      if (error.status === undefined) throw error;
      fill(this.answer, h("h2", {}, "Answer"), trouble(error));
    }
  }

  #show(action, answer) {
    const error = answer.error;
    const shape = outcomeOf(answer.outcome);
    fill(this.answer, h("h2", {}, "Answer to ", h("span", {}, action), " ", badge(shape), " ", h("small", { class: "quiet" }, ms(answer.ms))),
      error ? h("p", { class: "why" }, icon("warning"), h("span", {}, textOf(error))) : null,
      answer.why ? h("p", {}, answer.why) : null,
      answer.payload === undefined || answer.payload === null ? null : code(answer.payload),
      error?.details && Object.keys(error.details).length ? code(error.details) : null,
      h("p", { class: "quiet" }, "Unique id ", h("code", {}, answer.unique_id ?? "–")));
    say(`${action}: ${shape.word} ${textOf(answer.payload?.status ?? "")}`);
  }
}

// Asks before a command that interrupts charging. `whom` is the Charge Point, or how many of them.
export function sure(action, whom, payload) {
  return ask({
    heading: `${action} ${whom}?`, label: `Send ${action}`, danger: true,
    body: h("div", {}, h("p", {}, WARNINGS[action] ?? "This changes what the Charge Point does for whoever stands in front of it."), code(payload)),
  });
}

const WARNINGS = {
  RemoteStopTransaction: "The transaction ends, and the car is not charged any further.",
  Reset: "The Charge Point restarts. A hard reset ends open transactions.",
  UnlockConnector: "The cable comes free, and a transaction on that connector ends.",
  UpdateFirmware: "The Charge Point installs other software and is out of service meanwhile.",
};

export function code(value) {
  const text = JSON.stringify(value, null, 2), read = parsed(text, true);
  return h("div", { class: "panel" }, h("header", {}, copyButton(text, "the JSON")), read ? codeOf("JSON", read.lines) : rawOf("JSON", text));
}
