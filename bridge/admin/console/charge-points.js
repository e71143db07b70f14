// All Charge Points: which are connected, through what, to whom, and when each last spoke.

import { chargePoint, get } from "./api.js";
import { debounced, fill, h, throttled } from "./dom.js";
import { Grid } from "./grid.js";
import { offer } from "./keys.js";
import { Paged } from "./paged.js";
import { badge, choice, field, ticking, time, trouble } from "./parts.js";
import { stream } from "./stream.js";
import { linkState, many, STATES, stateOf, textOf, transport } from "./words.js";

const COUNTED = [["", { kind: "all", word: "All" }], ...Object.entries(STATES)];
// These change what else is said of a Charge Point.
const ASKED_AFTER = new Set(["BootNotification", "StartTransaction", "StopTransaction"]);
const FILTERS = ["identity", "state", "transport", "central_system"];
const COLUMNS = [
  ["State", "c-state"], ["Identity", "c-identity"], ["Vendor, model", "c-model"], ["Speaks", "c-near"],
  ["Central System", "c-far"], ["Last seen", "c-seen"], ["Open", "c-open"], ["Waiting", "c-waiting"], ["Errors", "c-errors"],
].map(([name, className]) => ({ name, class: className }));

export function chargePoints(context) {
  context.title("Charge Points");
  const page = new ChargePoints(context);
  page.begin();
}

class ChargePoints {
  #dirty = new Set();

  constructor({ main, signal, query, go }) {
    this.signal = signal;
    this.main = main;
    this.filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
    this.list = new Paged({ path: "/charge-points", signal, changed: () => this.#draw(), failed: (error) => this.#failed(error) });
    this.grid = new Grid({
      id: "charge-point", label: "Charge Points", class: "charge-points", columns: COLUMNS, cells, mark: (item) => item && `is-${stateOf(item).kind}`,
      open: (item) => go(`#/charge-points/${encodeURIComponent(item.identity)}`), wanted: (index) => this.list.want(index),
    });
    signal.addEventListener("abort", () => this.grid.close());
  }

  begin() {
    this.counts = h("fieldset", { class: "counts" }, h("legend", { class: "hidden" }, "State"));
    this.search = h("input", {
      type: "search", value: this.filters.identity, placeholder: "identity, * and ? allowed", spellcheck: "false", autocapitalize: "off",
      on: { input: debounced(200, () => this.#filter("identity", this.search.value.trim())) },
    });
    this.systems = choice([["", "any"]], "", (value) => this.#filter("central_system", value));
    const speaks = choice([["", "any"], ["soap", "SOAP"], ["json", "JSON"]], this.filters.transport, (value) => this.#filter("transport", value));
    this.place = h("div", { class: "fillbox" }, this.grid.container);
    fill(this.main, h("div", { class: "top" }, h("h1", {}, "Charge Points"), this.counts),
      h("div", { class: "filters" }, field("Filter", this.search, { class: "field wide" }), field("Speaks", speaks), field("Central System", this.systems)), this.place);
    this.#drawCounts({});
    this.#reload();
    this.#count();
    this.#nameSystems();
    ticking(this.grid.element, this.signal);
    this.#listen();
    offer({ "/": () => this.search.focus(), j: () => this.grid.move(1), k: () => this.grid.move(-1) }, this.signal);
  }

  #listen() {
    stream.follow(null);
    const on = (name, listener) => stream.addEventListener(name, listener, { signal: this.signal });
    const again = throttled(500, () => this.#refetch());
    const count = throttled(3000, () => this.#count());
    const touched = ({ detail }) => {
      this.#dirty.add(detail.identity.toLowerCase());
      again();
    };
    on("message", (event) => this.#heard(event.detail) || touched(event));
    on("charge-point", (event) => { touched(event); count(); });
    on("link", (event) => { touched(event); count(); });
    on("missed", () => { this.#reload(); this.#count(); });
    const timer = setInterval(() => this.#count(), 15000);
    this.signal.addEventListener("abort", () => clearInterval(timer));
  }

  // Most messages change nothing but the time and the counts: those are known without asking. A message that ends a
  // silence may change the state, too, which the bridge decides.
  #heard(message) {
    if (!message.identity) return true;
    if (ASKED_AFTER.has(message.action)) return false;
    const [first, last] = this.grid.inSight, key = message.identity.toLowerCase();
    for (let index = first; index < last; index++) {
      const item = this.list.items[index];
      if (item?.identity.toLowerCase() !== key) continue;
      if (item.state !== "up") return false;
      const spoke = message.from === "charge_point" ? { last_seen: message.at } : {};
      this.list.items[index] = { ...item, ...spoke, calls: item.calls + 1, errors: item.errors + (message.outcome === "error") };
      this.grid.refresh(index);
    }
    return true;
  }

  #filter(name, value) {
    this.filters[name] = value;
    const given = Object.entries(this.filters).filter(([, each]) => each);
    history.replaceState(null, "", given.length ? `#/charge-points?${new URLSearchParams(given)}` : "#/charge-points");
    this.grid.element.scrollTop = 0;
    this.grid.active = -1;
    this.#reload();
    this.#count();
  }

  // What is typed is looked for anywhere in the identity, unless it says itself where.
  #query() {
    const text = this.filters.identity;
    return { ...this.filters, identity: text && !/[*?[]/.test(text) ? `*${text}*` : text };
  }

  #reload() {
    this.#dirty.clear();
    this.list.load(this.#query());
  }

  #draw() {
    if (!this.grid.container.isConnected) fill(this.place, this.grid.container);
    const filtered = FILTERS.some((name) => this.filters[name]);
    this.grid.show(this.list.items, this.list.total, filtered ? "No Charge Point fits these filters." : "No Charge Point has come yet. What to type into one stands under Addresses.");
  }

  #failed(error) {
    if (error.status !== 401) fill(this.place, trouble(error, () => this.#reload()));
  }

  // The rows in sight of which something was heard, a handful at a time; a busy bridge is not asked for thousands.
  async #refetch() {
    const [first, last] = this.grid.inSight;
    for (let index = first; index < last && !this.signal.aborted; index++) {
      const item = this.list.items[index];
      if (!item || !this.#dirty.delete(item.identity.toLowerCase())) continue;
      try {
        this.list.items[index] = await get(chargePoint(item.identity), {}, this.signal);
        if (this.list.items[index]) this.grid.refresh(index);
      } catch { /* the next event asks again */ }
    }
    this.#dirty.clear();
  }

  async #count() {
    try {
      const { states } = await get("/charge-points", { ...this.#query(), limit: 1 }, this.signal);
      const all = Object.values(states).reduce((sum, count) => sum + count, 0);
      this.#drawCounts({ "": all, ...states });
      // Some came or went.
      if ((this.filters.state ? states[this.filters.state] : all) !== this.list.total) this.#reload();
    } catch { /* the list says what is wrong */ }
  }

  #drawCounts(totals) {
    const held = this.counts.contains(document.activeElement);
    fill(this.counts, this.counts.firstChild, COUNTED.map(([state, { kind, word }]) => {
      const radio = h("input", { type: "radio", name: "state", value: state, on: { change: () => this.#filter("state", state) } });
      radio.checked = this.filters.state === state;
      return h("label", { class: `count ${kind} ${totals[state] ? "some" : ""}` }, radio, h("b", {}, totals[state]?.toLocaleString("en") ?? "–"), h("span", {}, word));
    }));
    if (held) this.counts.querySelector(":checked")?.focus();
  }

  async #nameSystems() {
    try {
      const answer = await get("/central-systems", {}, this.signal);
      fill(this.systems, h("option", { value: "" }, "any"), answer.items.map(({ name }) => h("option", { value: name }, name)));
      this.systems.value = this.filters.central_system;
    } catch { /* then there is only "any" */ }
  }
}

function cells(item) {
  const far = linkState(item.central_side);
  return [
    badge(stateOf(item)),
    h("a", { href: `#/charge-points/${encodeURIComponent(item.identity)}`, class: "identity", tabindex: -1 }, item.identity),
    [item.vendor, item.model].filter(Boolean).join(" ") || "–",
    transport(item.charge_point),
    [h("span", { class: `dot ${far.kind}` }), `${item.central_system ?? "–"} `, h("span", { class: "quiet" }, far.kind === "up" ? transport(item.central_side) : far.word.toLowerCase())],
    time(item.last_seen, true),
    item.transactions ? many(item.transactions, "tx", "tx") : h("span", { class: "quiet" }, "–"),
    item.waiting || h("span", { class: "quiet" }, "–"),
    item.errors ? h("span", { class: "bad", title: textOf(item.last_error) }, item.errors) : h("span", { class: "quiet" }, "–"),
  ];
}

