// Transactions, open and ended: who charges, since when, how much.

import { get } from "./api.js";
import { debounced, fill, h, throttled } from "./dom.js";
import { saver } from "./download.js";
import { Grid } from "./grid.js";
import { offer } from "./keys.js";
import { Paged } from "./paged.js";
import { badge, choice, field, time, trouble } from "./parts.js";
import { globOf, stream } from "./stream.js";
import { clock, energy, span } from "./words.js";

const STATES = {
  open: { kind: "up", word: "Open" },
  closed: { kind: "warning", word: "No stop" },
  ended: { kind: "none", word: "Ended" },
};
const CHOICES = [["", "any"], ["open", "open"], ["ended", "ended"], ["closed", "over, without a StopTransaction"]];
const COLUMNS = [
  ["State", "c-state"], ["Charge Point", "c-identity"], ["Connector", "c-connector"], ["Transaction", "c-number"], ["Central System", "c-far"],
  ["idTag", "c-tag"], ["Started", "c-started"], ["Duration", "c-duration"], ["Energy", "c-energy"], ["Reason", "c-reason"],
].map(([name, className]) => ({ name, class: className }));
const FILTERS = ["identity", "state", "central_system"];
// What changes the list.
const TELLING = new Set(["StartTransaction", "StopTransaction"]);
// Milliseconds until durations and energies of open ones are asked for again.
const AGAIN = 30_000;

export function transactions({ main, signal, query, title, go }) {
  title("Transactions");
  const filters = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const asked = () => ({ ...filters, identity: filters.identity && !/[*?[]/.test(filters.identity) ? `*${globOf(filters.identity)}*` : filters.identity });
  const list = new Paged({ path: "/transactions", signal, changed: draw, failed: (error) => error.status !== 401 && fill(place, trouble(error, reload)) });
  const grid = new Grid({
    id: "transaction", label: "Transactions", class: "transactions", columns: COLUMNS, cells, mark: (item) => item && `is-${item.state}`,
    open: (item) => go(`#/charge-points/${encodeURIComponent(item.identity)}`), wanted: (index) => list.want(index),
  });
  const place = h("div", { class: "fillbox" }, grid.container);
  const search = h("input", {
    type: "search", value: filters.identity, placeholder: "part of an identity", spellcheck: "false", autocapitalize: "off",
    on: { input: debounced(200, () => filter("identity", search.value.trim())) },
  });
  const systems = choice([["", "any"]], "", (value) => filter("central_system", value));

  function draw() {
    if (!grid.container.isConnected) fill(place, grid.container);
    const filtered = FILTERS.some((name) => filters[name]);
    grid.show(list.items, list.items.length + (list.hasMore ? 1 : 0), filtered ? "No transaction fits these filters." : "No transaction is known: none has begun in the last days.");
  }

  function reload() {
    list.load(asked());
  }

  function filter(name, value) {
    filters[name] = value;
    const given = Object.entries(filters).filter(([, each]) => each);
    history.replaceState(null, "", given.length ? `#/transactions?${new URLSearchParams(given)}` : "#/transactions");
    grid.element.scrollTop = 0;
    grid.active = -1;
    reload();
  }

  // Only while the first page is looked at: more are asked for again when somebody looks for them.
  function refresh() {
    if (!document.hidden && grid.inSight[0] === 0) reload();
  }

  fill(main, h("div", { class: "top" }, h("h1", {}, "Transactions")), h("div", { class: "filters listfilters" },
    field("Charge Point", search, { class: "field wide" }), field("State", choice(CHOICES, filters.state, (value) => filter("state", value))),
    field("Central System", systems), saver("Export CSV", "/transactions:table", "transactions.csv", asked)), place);
  signal.addEventListener("abort", () => grid.close());
  reload();
  get("/central-systems", {}, signal).then(({ items }) => {
    fill(systems, h("option", { value: "" }, "any"), items.map(({ name }) => h("option", { value: name }, name)));
    systems.value = filters.central_system;
  }, () => { /* then there is only "any" */ });
  stream.follow(null);
  const soon = throttled(1000, refresh);
  stream.addEventListener("message", ({ detail }) => TELLING.has(detail.action) && soon(), { signal });
  stream.addEventListener("missed", reload, { signal });
  const timer = setInterval(refresh, AGAIN);
  signal.addEventListener("abort", () => clearInterval(timer));
  offer({ "/": () => search.focus(), j: () => grid.move(1), k: () => grid.move(-1) }, signal);
}

function cells(item) {
  const quiet = (text) => h("span", { class: "quiet" }, text);
  return [
    badge(STATES[item.state] ?? STATES.closed),
    h("a", { href: `#/charge-points/${encodeURIComponent(item.identity)}`, class: "identity", tabindex: -1 }, item.identity),
    item.connector, item.transaction_id, item.central_system, h("code", {}, item.id_tag), started(item.started),
    item.duration === null ? quiet("–") : span(item.duration), item.energy === null ? quiet("–") : energy(item.energy), item.reason ?? quiet("–"),
  ];
}

// To the second: the time is the Charge Point's.
function started(iso) {
  return h("time", { datetime: iso, title: iso }, clock(iso).replace(/\.000$/, ""));
}
