// The Central Systems: which are reached, how fast they answer, and how many Charge Points depend on each.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { followed } from "./followed.js";
import { badge, ticking, time } from "./parts.js";
import { stream } from "./stream.js";
import { tableOf } from "./table.js";
import { ms, protocol } from "./words.js";

const EVERY = 5000;
const COLUMNS = [
  { name: "Name", class: "name", by: (one) => one.name }, { name: "State", by: (one) => -severity(one) }, { name: "Charge Points", class: "number", by: (one) => one.charge_points },
  { name: "Connected", class: "number", by: (one) => one.connected }, { name: "Not reached", class: "number", by: (one) => one.unreachable },
  { name: "Open transactions", class: "number", by: (one) => one.open_transactions }, { name: "p50", class: "number", by: (one) => one.p50_ms ?? -1 },
  { name: "p99", class: "number", by: (one) => one.p99_ms ?? -1 }, { name: "Away since", by: (one) => one.since }, { name: "Last failure", class: "reason", by: (one) => one.last_failure_at },
];

export function centralSystems({ main, signal, query, title }) {
  title("Central Systems");
  const chosen = query.get("name");
  const table = tableOf({ label: "Central Systems", columns: COLUMNS, cells });
  const place = h("div", { class: "stack" });
  fill(main, h("div", { class: "top" }, h("h1", {}, "Central Systems")),
    h("p", { class: "quiet lead" }, "p50 and p99 are the times within which half of the answers came, and 99 of 100, in the last five minutes; the time in the bridge is not part of them."),
    chosen ? h("p", { class: "filters" }, h("span", {}, "Only ", h("b", {}, chosen)), h("a", { class: "button small", href: "#/central-systems" }, "Show all")) : null, place);
  stream.follow(null);
  followed({ place, signal, every: EVERY, load: () => get("/central-systems", {}, signal), draw: ({ items }) => {
    if (!table.element.isConnected) fill(place, table.element);
    table.show(items.filter(({ name }) => !chosen || name === chosen), chosen ? `No Central System is called ${chosen}.` : "None is configured.");
  } });
  ticking(main, signal);
}

function severity({ unreachable, misconfigured, observer_trouble }) {
  return unreachable ? 2 : misconfigured || observer_trouble ? 1 : 0;
}

function stateOf(one) {
  if (one.unreachable) return { kind: "down", word: one.connected ? "Partly away" : "Away" };
  if (one.misconfigured) return { kind: "warning", word: "Wrong answers" };
  if (one.observer_trouble) return { kind: "warning", word: "Messages wait" };
  if (!one.sessions && one.observes.length) return { kind: "up", word: one.observes.includes("shadow") ? "Shadow" : "Observer" };
  return one.sessions ? { kind: "up", word: "Up" } : { kind: "none", word: "Not used" };
}

// JSON Charge Points are let in only with their Central System: those are down.
function notReached({ unreachable, down }, link) {
  if (!unreachable) return "0";
  if (!down) return h("span", { class: "bad" }, link({ state: "no_central_system" }, unreachable));
  return [h("span", { class: "bad" }, unreachable.toLocaleString("en")), h("small", { class: "block" }, link({ state: "down" }, down), " down")];
}

function cells(one) {
  const link = (filter, number) => (number ? h("a", { href: `#/charge-points?${new URLSearchParams({ central_system: one.name, ...filter })}` }, number.toLocaleString("en")) : "0");
  return [
    [h("strong", {}, one.name), h("br"), h("small", { class: "quiet" }, `${protocol(one.protocol)} · `, h("code", {}, one.url))],
    [badge(stateOf(one)), one.misconfigured ? h("small", { class: "quiet block" }, one.misconfigured) : null,
      one.observes.length ? h("small", { class: "block" }, h("a", { href: "#/observers" }, "further Central System")) : null],
    link({}, one.charge_points), one.connected.toLocaleString("en"), notReached(one, link),
    one.open_transactions.toLocaleString("en"), ms(one.p50_ms), ms(one.p99_ms), one.since ? time(one.since, true) : null,
    one.last_failure ? [one.last_failure, " ", h("span", { class: "quiet" }, time(one.last_failure_at, true))] : null,
  ];
}
