// All Charge Points: search, filters, sorting; selected ones are sent a command or moved together.

import { chargePoint, get } from "./api.js";
import { button, debounced, fill, h, icon, say, throttled } from "./dom.js";
import { saver } from "./download.js";
import { Grid } from "./grid.js";
import { offer } from "./keys.js";
import { Paged } from "./paged.js";
import { badge, choice, field, ticking, time, trouble } from "./parts.js";
import { selection } from "./selection.js";
import { stream } from "./stream.js";
import { farState, many, STATES, stateOf, textOf, transport } from "./words.js";

const COUNTED = [["", { kind: "all", word: "All" }], ...Object.entries(STATES)];
// These change what else is said of a Charge Point.
const ASKED_AFTER = new Set(["BootNotification", "StartTransaction", "StopTransaction", "StatusNotification"]);
// Every filter of the API: an address may have each, also those without a control here.
const FILTERS = ["text", "identity", "state", "transport", "central_system", "vendor", "model", "firmware", "charging", "faulted", "failed", "last_error"];
const SHOWN = [["", "any"], ["charging", "with an open transaction"], ["faulted", "with a faulted connector"], ["failed", "with a last error"]];
const COLUMNS = [
  [h("span", { class: "hidden" }, "Selected"), "c-select"], ["State", "c-state", "state"], ["Identity", "c-identity", "identity"], ["Vendor, model", "c-model", "model"], ["Firmware", "c-firmware", "firmware"],
  ["Speaks", "c-near", "transport"], ["Central System", "c-far", "central_system"], ["Last seen", "c-seen", "last_seen"], ["Open", "c-open", "transactions"],
  ["Faulted", "c-faulted"], ["Errors", "c-errors", "errors"],
].map(([name, className, sort]) => ({ name, class: className, sort }));
const PAGE = 1000;

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
    this.go = go;
    this.filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
    this.sorted = { by: query.get("sort") ?? "identity", descending: query.get("order") === "desc" };
    this.list = new Paged({ path: "/charge-points", signal, changed: () => this.#draw(), failed: (error) => this.#failed(error) });
    this.grid = new Grid({
      id: "charge-point", label: "Charge Points", class: "charge-points", columns: COLUMNS, cells, mark: (item) => item && `is-${stateOf(item).kind}`,
      open: (item) => go(`#/charge-points/${encodeURIComponent(item.identity)}`), wanted: (index) => this.list.want(index),
      toggle: (item) => selection.set([item.identity], !selection.has(item.identity)),
      sorted: this.sorted, sort: (by, descending) => this.#sort(by, descending),
    });
    signal.addEventListener("abort", () => this.grid.close());
  }

  begin() {
    this.counts = h("fieldset", { class: "counts" }, h("legend", { class: "hidden" }, "State"));
    this.place = h("div", { class: "fillbox" }, this.grid.container);
    this.saver = saver("Export CSV", "/charge-points:table", "charge-points-table.csv", () => ({ ...this.#asked, ...this.#order }));
    this.bar = h("div", { class: "selected", role: "group", "aria-label": "Selected Charge Points" });
    fill(this.main, h("div", { class: "top" }, h("h1", {}, "Charge Points"), this.counts), this.#controls(), this.bar, this.place);
    this.#drawCounts({});
    this.#tellSelection();
    this.#reload();
    this.#count();
    this.#nameValues();
    ticking(this.grid.element, this.signal);
    this.#listen();
    offer({ "/": () => this.search.focus(), j: () => this.grid.move(1), k: () => this.grid.move(-1) }, this.signal);
  }

  #controls() {
    const typed = (name, properties) => {
      const input = h("input", {
        type: "search", value: this.filters[name], spellcheck: "false", autocapitalize: "off", ...properties,
        on: { input: debounced(200, () => this.#filter({ [name]: input.value.trim() })) },
      });
      return input;
    };
    const chosen = (name, options) => choice(options, this.filters[name], (value) => this.#filter({ [name]: value }));
    this.search = typed("text", { placeholder: "identity, vendor…", title: "Words that are each a part of the identity, vendor, model, serial number or address" });
    this.vendors = chosen("vendor", [["", "any"]]);
    this.firmwares = chosen("firmware", [["", "any"]]);
    this.systems = chosen("central_system", [["", "any"]]);
    const speaks = chosen("transport", [["", "any"], ["soap", "SOAP"], ["json", "JSON"]]);
    const shown = choice(SHOWN, SHOWN.find(([name]) => this.filters[name] === "true")?.[0] ?? "",
      (name) => this.#filter({ charging: "", faulted: "", failed: "", ...(name ? { [name]: "true" } : {}) }));
    const more = button("Filters", () => {
      more.setAttribute("aria-expanded", String(box.classList.toggle("open")));
    }, { class: "small morefilters", "aria-expanded": "false" });
    const box = h("div", { class: "filters listfilters" },
      field("Search", this.search, { class: "field wide" }), more,
      h("div", { class: "filters rest" }, field("Show", shown), field("Vendor", this.vendors), field("Firmware", this.firmwares), field("Central System", this.systems),
        field("Speaks", speaks), field("Last error", typed("last_error", { placeholder: "any, or a part of it" }))));
    return box;
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
    selection.addEventListener("change", () => { this.#tellSelection(); this.grid.refreshAll(); }, { signal: this.signal });
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

  #filter(values) {
    Object.assign(this.filters, values);
    this.#remember();
    this.#reload();
    this.#count();
  }

  #sort(by, descending) {
    this.sorted = { by, descending };
    this.#remember();
    this.#reload();
  }

  // The address says what is shown, so that it can be sent to somebody.
  #remember() {
    const given = Object.entries({ ...this.filters, ...this.#order }).filter(([, each]) => each);
    history.replaceState(null, "", given.length ? `#/charge-points?${new URLSearchParams(given)}` : "#/charge-points");
    this.grid.element.scrollTop = 0;
    this.grid.active = -1;
  }

  // The same as the API has it. A search with * or ? is meant for the whole identity.
  get #asked() {
    const { text, identity, ...rest } = this.filters, isGlob = /[*?[]/.test(text);
    return { ...rest, text: isGlob ? "" : text, identity: isGlob ? text : identity };
  }

  get #order() {
    const { by, descending } = this.sorted;
    return { sort: by === "identity" ? "" : by, order: descending ? "desc" : "" };
  }

  #reload() {
    this.#dirty.clear();
    this.list.load({ ...this.#asked, ...this.#order });
  }

  #draw() {
    if (!this.grid.container.isConnected) fill(this.place, this.grid.container);
    const filtered = FILTERS.some((name) => this.filters[name]);
    this.grid.show(this.list.items, this.list.total, filtered ? "No Charge Point fits these filters." : "No Charge Point has come yet. What to type into one stands under Addresses.");
    this.#tellSelection();
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
      const { states } = await get("/charge-points", { ...this.#asked, limit: 1 }, this.signal);
      const all = Object.values(states).reduce((sum, count) => sum + count, 0);
      this.#drawCounts({ "": all, ...states });
      // Some came or went.
      if ((this.filters.state ? states[this.filters.state] : all) !== this.list.total) this.#reload();
    } catch { /* the list says what is wrong */ }
  }

  #drawCounts(totals) {
    const held = this.counts.contains(document.activeElement);
    fill(this.counts, this.counts.firstChild, COUNTED.map(([state, { kind, word }]) => {
      const radio = h("input", { type: "radio", name: "state", value: state, on: { change: () => this.#filter({ state }) } });
      radio.checked = this.filters.state === state;
      return h("label", { class: `count ${kind} ${totals[state] ? "some" : ""}` }, radio, h("b", {}, totals[state]?.toLocaleString("en") ?? "–"), h("span", {}, word));
    }));
    if (held) this.counts.querySelector(":checked")?.focus();
  }

  #tellSelection() {
    const held = this.bar.contains(document.activeElement), fitting = this.list.total;
    this.bar.hidden = !fitting && !selection.size;
    const all = button(`Select all ${fitting.toLocaleString("en")}`, () => this.#selectAll(all), { class: "small", disabled: !fitting });
    fill(this.bar, selection.size
      ? [h("strong", {}, `${selection.size.toLocaleString("en")} selected`),
        h("a", { class: "button small", href: "#/bulk/command" }, "Send a command…"), h("a", { class: "button small", href: "#/bulk/move" }, "Move…"),
        button("Clear", () => selection.clear(), { class: "small" })]
      : h("span", { class: "quiet" }, "Select with the boxes, or with Space in the list"), h("span", { class: "spring" }), all, this.saver);
    if (held) (this.bar.querySelector("button") ?? this.search).focus();
  }

  // All that fit the filters, also those that are not in sight.
  async #selectAll(all) {
    all.disabled = true;
    const found = [];
    try {
      for (let cursor = ""; cursor !== null;) {
        const page = await get("/charge-points", { ...this.#asked, limit: PAGE, cursor }, this.signal);
        found.push(...page.items.map(({ identity }) => identity));
        cursor = page.next;
      }
    } catch (error) {
      if (error.name !== "AbortError") this.#failed(error);
      return;
    }
    selection.set(found, true);
    say(`${many(found.length, "Charge Point")} selected`);
  }

  async #nameValues() {
    const options = (select, values, chosen) => {
      const all = chosen && !values.some(([value]) => value === chosen) ? [[chosen, chosen], ...values] : values;
      fill(select, h("option", { value: "" }, "any"), all.map(([value, text]) => h("option", { value }, text)));
      select.value = chosen;
    };
    const counted = (values) => values.map(({ value, count }) => [value, `${value} (${count.toLocaleString("en")})`]);
    try {
      const [systems, values] = await Promise.all([get("/central-systems", {}, this.signal), get("/charge-points:values", {}, this.signal)]);
      options(this.systems, systems.items.map(({ name }) => [name, name]), this.filters.central_system);
      options(this.vendors, counted(values.vendors), this.filters.vendor);
      options(this.firmwares, counted(values.firmwares), this.filters.firmware);
    } catch { /* then there is only "any" */ }
  }
}

function cells(item) {
  const far = farState(item.central_side), chosen = selection.has(item.identity);
  const box = h("input", { type: "checkbox", tabindex: -1, "aria-label": `Select ${item.identity}`, on: { change: () => selection.set([item.identity], box.checked) } });
  box.checked = chosen;
  return [
    h("label", {}, box),
    badge(stateOf(item)),
    h("a", { href: `#/charge-points/${encodeURIComponent(item.identity)}`, class: "identity", tabindex: -1 }, item.identity),
    [item.vendor, item.model].filter(Boolean).join(" ") || "–",
    item.firmware ?? h("span", { class: "quiet" }, "–"),
    transport(item.charge_point),
    [h("span", { class: `dot ${far.kind}` }), `${item.central_system ?? "–"} `, h("span", { class: "quiet" }, far.kind === "up" ? transport(item.central_side) : far.word.toLowerCase())],
    time(item.last_seen, true),
    item.transactions || h("span", { class: "quiet" }, "–"),
    item.faulted.length ? faulty(item.faulted) : h("span", { class: "quiet" }, "–"),
    item.errors ? h("span", { class: "bad", title: textOf(item.last_error) }, item.errors) : h("span", { class: "quiet" }, "–"),
  ];
}

function faulty(connectors) {
  const which = `${connectors.length === 1 ? "Connector" : "Connectors"} ${connectors.join(", ")} faulted`;
  return h("span", { class: "badge down", title: which }, icon("warning"), h("span", { class: "hidden" }, which), h("span", { "aria-hidden": "true" }, connectors.join(", ")));
}
