// Messages newest first, live on top: of one Charge Point or of all. Pause, filters, and older ones as far as one scrolls.

import { button, debounced, fill, h, icon, throttled } from "./dom.js";
import { Grid } from "./grid.js";
import { Paged } from "./paged.js";
import { badge, choice, field, time, trouble } from "./parts.js";
import { stream } from "./stream.js";
import { many, ms, outcomeOf, partyOf } from "./words.js";

const OUTCOMES = ["", "result", "error", "unanswered", "refused", "repeated", "abandoned", "dropped", "relayed"].map((each) => [each, each || "any"]);
const KEPT = 2000;

// `identity` is null for all. `changed` is told of each message that arrives.
export class MessageList {
  paused = false;
  #fresh = [];

  constructor({ identity, signal, filters = {}, changed = () => {}, go, remember = () => {} }) {
    Object.assign(this, { identity, signal, changed, remember });
    this.filters = { action: "", outcome: "", ...filters };
    const path = identity === null ? "/messages" : `/charge-points/${encodeURIComponent(identity)}/messages`;
    this.list = new Paged({ path, signal, changed: () => this.#draw(), failed: (error) => error.status !== 401 && fill(this.place, trouble(error, () => this.reload())) });
    this.grid = new Grid({
      id: "message", label: "Messages", class: `messages ${identity === null ? "all" : "one"}`, columns: columns(identity === null), cells: (item) => cells(item, identity === null),
      mark: (item) => item && `is-${outcomeOf(item.outcome).kind}`, open: (item) => go(addressOf(item)), wanted: (index) => this.list.want(index),
    });
    this.place = h("div", { class: "fillbox" }, this.grid.container);
    this.element = h("div", { class: "messagebox" }, this.#bar(), this.place);
    signal.addEventListener("abort", () => this.grid.close());
    this.#listen();
  }

  #bar() {
    this.action = h("input", { type: "search", value: this.filters.action, placeholder: "any", spellcheck: "false", on: { input: debounced(250, () => this.#filter("action", this.action.value.trim())) } });
    const outcome = choice(OUTCOMES, this.filters.outcome, (value) => this.#filter("outcome", value));
    this.pauser = button("", () => this.pause(!this.paused), { class: "small", "aria-pressed": "false" });
    this.#tellPause();
    return h("div", { class: "filters" }, field("Action", this.action), field("Outcome", outcome), this.pauser);
  }

  #listen() {
    const draw = throttled(200, () => this.#insert());
    const on = (name, listener) => stream.addEventListener(name, listener, { signal: this.signal });
    const take = ({ detail }) => {
      this.changed(detail);
      if (!this.#fits(detail)) return;
      this.#fresh.push(detail);
      if (this.paused) return this.#tellPause();
      draw();
    };
    on("message", take);
    on("missed", () => this.reload());
  }

  reload() {
    this.#fresh = [];
    return this.list.load(this.filters);
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.#insert();
    this.#tellPause();
  }

  // The newest that did not end well, and says why.
  get troubled() {
    return this.list.items.find((item) => item.why);
  }

  #tellPause() {
    const waiting = this.paused && this.#fresh.length ? ` (${many(this.#fresh.length, "new one")})` : "";
    fill(this.pauser, icon(this.paused ? "play" : "pause"), h("span", {}, this.paused ? `Resume${waiting}` : "Pause"));
    this.pauser.setAttribute("aria-pressed", String(this.paused));
  }

  #filter(name, value) {
    this.filters[name] = value;
    this.remember(this.filters);
    this.grid.active = -1;
    this.reload();
  }

  #fits(item) {
    const { action, outcome } = this.filters;
    return (!action || item.action?.toLowerCase() === action.toLowerCase()) && (!outcome || item.outcome === outcome);
  }

  #insert() {
    const known = new Set(this.list.items.slice(0, 500).map((item) => item.id));
    const fresh = this.#fresh.filter((item) => !known.has(item.id)).reverse();
    this.#fresh = [];
    if (!fresh.length) return;
    this.list.items = [...fresh, ...this.list.items].slice(0, Math.max(KEPT, this.list.items.length));
    this.#draw();
    this.grid.shifted(fresh.length);
    this.grid.draw();
  }

  #draw() {
    if (!this.grid.container.isConnected) fill(this.place, this.grid.container);
    const filtered = this.filters.action || this.filters.outcome;
    this.grid.show(this.list.items, this.list.items.length + (this.list.hasMore ? 1 : 0), filtered ? "No message fits these filters." : "No message has been recorded yet.");
  }
}

export function addressOf(item) {
  return `#/messages/${encodeURIComponent(item.id)}`;
}

function columns(all) {
  const names = [["Time", "c-time"], ["From", "c-from"], ["Action", "c-action"], ["What", "c-what"], ["Lost", "c-losses"], ["Outcome", "c-outcome"], ["Took", "c-ms"]];
  if (all) names.splice(1, 0, ["Charge Point", "c-identity"]);
  return names.map(([name, className]) => ({ name, class: className }));
}

function cells(item, all) {
  const up = item.from === "charge_point";
  const rest = [
    [h("span", { class: `way ${up ? "up" : "down"}`, title: `from the ${partyOf(item.from)}` }, up ? "CP" : item.from === "operator" ? "you" : "CS", icon("right"), up ? "CS" : "CP")],
    h("a", { href: addressOf(item), tabindex: -1, class: "action" }, item.action || "(not read)"),
    h("span", { class: item.why ? "whyline" : "quiet" }, item.why ?? item.summary ?? ""),
    item.losses ? h("span", { class: "badge warning", title: many(item.losses, "loss", "losses") }, icon("loss"), h("span", {}, item.losses)) : null,
    badge(outcomeOf(item.outcome)), ms(item.ms),
  ];
  if (all) rest.unshift(!item.identity ? "–" : h("a", { href: `#/charge-points/${encodeURIComponent(item.identity)}`, tabindex: -1, class: "identity" }, item.identity));
  return [time(item.at), ...rest];
}
