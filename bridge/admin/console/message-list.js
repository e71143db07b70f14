// Messages newest first, live on top: of one Charge Point or of all. Pause, filters, and older ones as far as one scrolls.

import { button, debounced, fill, h, icon, throttled } from "./dom.js";
import { saver } from "./download.js";
import { Grid } from "./grid.js";
import { Paged } from "./paged.js";
import { badge, choice, field, time, trouble } from "./parts.js";
import { globOf, stream } from "./stream.js";
import { clock, many, ms, outcomeOf, partyOf } from "./words.js";

const OUTCOMES = [["", "any"], ["failed", "not well"], ...["result", "error", "unanswered", "refused", "repeated", "abandoned", "dropped", "relayed"].map((each) => [each, each])];
const SENDERS = [["", "any"], ["charge_point", "Charge Point"], ["central_system", "Central System"], ["operator", "operator"]];
const LOSSES = [["", "any"], ["true", "with a loss"], ["false", "without a loss"]];
const SIDES = [["charge-point", "Charge Point's side"], ["central-system", "Central System's side"], ["both", "both sides"]];
// In the order of the controls; those from `lossy` on are behind "More filters".
export const MESSAGE_FILTERS = ["identity", "action", "outcome", "text", "from", "lossy", "loss", "error", "since", "until"];
const MORE = ["from", "lossy", "loss", "error", "since", "until"];
const KEPT = 2000;

// `identity` is null for all. `changed` is told of each message that arrives; `remember` of the filters.
export class MessageList {
  paused = false;
  #fresh = [];

  constructor({ identity, signal, filters = {}, changed = () => {}, go, remember = () => {} }) {
    Object.assign(this, { identity, signal, changed, remember });
    this.filters = { ...Object.fromEntries(MESSAGE_FILTERS.map((name) => [name, ""])), ...filters };
    const path = identity === null ? "/messages" : `/charge-points/${encodeURIComponent(identity)}/messages`;
    this.list = new Paged({ path, signal, changed: () => this.#draw(), failed: (error) => error.status !== 401 && fill(this.place, trouble(error, () => this.reload())) });
    this.grid = new Grid({
      id: "message", label: "Messages", class: `messages ${identity === null ? "all" : "one"}`, columns: columns(identity === null), cells: (item) => cells(item, identity === null),
      mark: (item) => item && `is-${outcomeOf(item.outcome).kind}`, open: (item) => go(addressOf(item)), wanted: (index) => this.list.want(index),
    });
    this.place = h("div", { class: "fillbox" }, this.grid.container);
    this.searched = h("p", { class: "searched quiet", role: "status", hidden: true });
    this.element = h("div", { class: "messagebox" }, this.#bar(), this.searched, this.place);
    signal.addEventListener("abort", () => this.grid.close());
    this.#listen();
  }

  #bar() {
    const typed = (name, properties = {}) => {
      const input = h("input", {
        type: "search", value: this.filters[name], placeholder: "any", spellcheck: "false", autocapitalize: "off", ...properties,
        on: { input: debounced(300, () => this.#filter(name, input.value.trim())) },
      });
      return input;
    };
    const chosen = (name, options) => choice(options, this.filters[name], (value) => this.#filter(name, value));
    const moment = (name) => h("input", { type: "datetime-local", step: 1, value: localOf(this.filters[name]), on: { change: (event) => this.#filter(name, isoOf(event.target.value)) } });
    this.action = typed("action");
    const identity = this.identity === null ? field("Charge Point", this.first = typed("identity", { placeholder: "part of an identity" })) : null;
    this.first ??= this.action;
    this.pauser = button("", () => this.pause(!this.paused), { class: "small", "aria-pressed": "false" });
    this.#tellPause();
    const more = h("div", { class: "filters rest", id: `more-filters-${this.identity === null ? "all" : "one"}` },
      field("From", chosen("from", SENDERS)), field("Losses", chosen("lossy", LOSSES)), field("Lost field", typed("loss", { placeholder: "part of its name" })),
      field("Error", typed("error", { placeholder: "part of it" })), field("Since", moment("since")), field("Until", moment("until")));
    const toggle = button("More filters", () => {
      more.hidden = !more.hidden;
      toggle.setAttribute("aria-expanded", String(!more.hidden));
    }, { class: "small", "aria-controls": more.id });
    more.hidden = !MORE.some((name) => this.filters[name]);
    toggle.setAttribute("aria-expanded", String(!more.hidden));
    return h("div", {}, h("div", { class: "filters" }, identity, field("Action", this.action), field("Outcome", chosen("outcome", OUTCOMES)),
      field("Contains", typed("text", { placeholder: "text in the payload" }), { class: "field wide" }), toggle, h("span", { class: "spring" }), this.#saver(), this.pauser), more);
  }

  #saver() {
    const side = choice(SIDES, "charge-point", () => {}, { "aria-label": "Side of the trace" });
    const query = () => ({ ...this.#asked(), ...(this.identity === null ? {} : { identity: globOf(this.identity) }), side: side.value });
    const save = saver("Save as trace", "/messages:trace", "ocpp-bridge-trace.jsonl", query,
      (headers) => (headers.get("OCPP-Bridge-Truncated") ? "The newest messages were saved; there are older ones" : "The messages were saved"));
    return h("span", { class: "saves" }, side, save);
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
    return this.list.load(this.#asked());
  }

  // The filters as the API has them.
  #asked() {
    const { identity, outcome, ...rest } = this.filters;
    const glob = identity && !isGlob(identity) ? `*${identity}*` : identity;
    return { ...rest, identity: glob, outcome: outcome === "failed" ? "" : outcome, failed: outcome === "failed" ? "true" : "" };
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
    this.grid.element.scrollTop = 0;
    this.reload();
  }

  // What is in a message that arrives is not known here: with such a filter the list stands still.
  get #isLive() {
    const { identity, text, loss, until } = this.filters;
    return !text && !loss && !until && !isGlob(identity);
  }

  #fits(item) {
    if (!this.#isLive) return false;
    const { identity, action, outcome, from, lossy, error } = this.filters;
    const well = item.outcome === "result" || item.outcome === "repeated" || item.outcome === "relayed";
    return (!identity || (item.identity ?? "").toLowerCase().includes(identity.toLowerCase())) && (!action || item.action === action) && (!from || item.from === from)
      && (!outcome || (outcome === "failed" ? !well : item.outcome === outcome)) && (!lossy || (lossy === "true") === item.losses > 0)
      && (!error || (item.why ?? "").toLowerCase().includes(error.toLowerCase()));
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
    const filtered = MESSAGE_FILTERS.some((name) => this.filters[name]);
    this.grid.show(this.list.items, this.list.items.length + (this.list.hasMore ? 1 : 0), filtered ? "No message fits these filters." : "No message has been recorded yet.");
    const { searched_to: to } = this.list.last;
    this.searched.hidden = this.#isLive && !to;
    fill(this.searched, this.#isLive ? null : ["New messages are not added here: ", button("Search again", () => this.reload(), { class: "small" })], to ? ` Looked through back to ${clock(to)}.` : null);
  }
}

// Which identities a pattern matches is decided by the bridge.
function isGlob(identity) {
  return /[*?[]/.test(identity);
}

// A field for a time holds the time of this computer, the API that of UTC.
function isoOf(local) {
  const at = new Date(local);
  return local && !Number.isNaN(at.getTime()) ? at.toISOString() : "";
}

function localOf(iso) {
  const at = new Date(iso);
  return iso && !Number.isNaN(at.getTime()) ? new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19) : "";
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
