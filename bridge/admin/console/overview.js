// The first page: is anything wrong? Then the fleet in numbers, the last hour, and the last moves.

import { get } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { followed } from "./followed.js";
import { badge, fieldOf, section, ticking, time } from "./parts.js";
import { clockOf, plot } from "./plot.js";
import { stream } from "./stream.js";
import { tableOf } from "./table.js";
import { many, MOVES, STATES } from "./words.js";

const EVERY = 5000;

export function overview({ main, signal, title }) {
  title("Overview");
  const nodes = h("p", { class: "quiet" });
  const alarms = h("section", { class: "alarms", "aria-labelledby": "alarms-title" }), tiles = h("ul", { class: "tiles", "aria-label": "The fleet in numbers" });
  const hour = new Hour(signal), lists = h("div", { class: "pair" });
  const page = h("div", { class: "stack" }, alarms, tiles, hour.element, lists, nodes);
  const place = h("div", {});
  fill(main, h("div", { class: "top" }, h("h1", {}, "Overview")), place);
  stream.follow(null);
  const shown = {};
  const part = (name, value, draw) => {
    const text = JSON.stringify(value);
    if (shown[name] !== text) { shown[name] = text; draw(); }
  };
  followed({ place, signal, every: EVERY, load: () => get("/overview", {}, signal), draw: (answer) => {
    if (!page.isConnected) fill(place, page);
    part("alarms", [answer.alarms, answer.states], () => keepingFocus(alarms, () => fill(alarms, alarmList(answer))));
    part("tiles", [answer.states, answer.transactions], () => keepingFocus(tiles, () => fill(tiles, tilesOf(answer))));
    part("nodes", answer.nodes, () => fill(nodes, nodesOf(answer)));
    part("lists", [answer.moves, answer.moved, answer.waiting_moves, answer.losses, answer.faults], () => keepingFocus(lists, () => fill(lists, movesOf(answer), h("div", { class: "stack" }, faultsOf(answer), lossesOf(answer)))));
    hour.show(answer.hour);
  } });
  ticking(main, signal);
}

// The link that has the focus has it again after its part was drawn anew.
function keepingFocus(place, draw) {
  const held = place.contains(document.activeElement) && document.activeElement.getAttribute("href");
  draw();
  if (held) [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === held)?.focus({ preventScroll: true });
}

// What is wrong.

function alarmList({ alarms, states }) {
  const all = Object.values(states).reduce((sum, count) => sum + count, 0);
  if (!alarms.length) {
    const said = !all ? "No Charge Point has come yet." : `${many(all, "Charge Point")} known, ${states.up === all ? "all up" : `${states.up.toLocaleString("en")} up`}.`;
    return h("div", { class: "calm" }, icon("up"), h("div", {}, h("h2", { id: "alarms-title" }, "Nothing is wrong"),
      h("p", { class: "quiet" }, said, " ", all ? null : h("a", { href: "#/addresses" }, "What to type into one"))));
  }
  const bad = alarms.some(({ severity }) => severity === "bad");
  return [h("h2", { id: "alarms-title", class: bad ? "bad" : "warn" }, icon(bad ? "down" : "warning"), `${many(alarms.length, "thing")} ${alarms.length === 1 ? "is" : "are"} wrong`),
    // A list that scrolls is reached by a link in it, or by itself.
    h("ul", { tabindex: alarms.some(pageOf) ? null : 0 }, alarms.map((alarm) => h("li", { class: alarm.severity }, alarmLine(alarm))))];
}

function alarmLine(alarm) {
  const href = pageOf(alarm), word = alarm.severity === "bad" ? "Outage" : "Warning";
  const contents = [
    h("span", { class: "kind" }, icon(alarm.severity === "bad" ? "down" : "warning"), h("span", { class: "hidden" }, `${word}: `)),
    h("span", { class: "text" }, alarm.count !== null && COUNTED_FIRST.has(alarm.kind) ? h("b", {}, `${alarm.count.toLocaleString("en")} `) : null, alarm.text),
    h("span", { class: "more" }, extentOf(alarm)),
    href ? h("span", { class: "go" }, icon("right")) : null,
  ];
  return href ? h("a", { class: "alarm", href }, contents) : h("div", { class: "alarm" }, contents);
}

// The sentence begins with the number.
const COUNTED_FIRST = new Set(["down", "stale", "no_central_system", "moved_nowhere", "losses"]);

function extentOf({ kind, count, since }) {
  const parts = [];
  if (count !== null && !COUNTED_FIRST.has(kind)) parts.push(many(count, "Charge Point"));
  if (since) parts.push(["began ", time(since, true)]);
  return parts.flatMap((each, at) => (at ? [" · ", each] : [each]));
}

// The page that has more of it, with the filter that fits.
function pageOf({ kind, subject, text }) {
  const chargePoints = (filter) => `#/charge-points?${new URLSearchParams(filter)}`;
  switch (kind) {
    case "central_system_away":
    case "central_system_misconfigured": return `#/central-systems?${new URLSearchParams({ name: subject })}`;
    case "down":
    case "stale":
    case "no_central_system": return chargePoints({ state: kind });
    case "observer": return "#/observers";
    case "fault": return chargePoints({ faulted: "true" });
    case "move_stopped": return `#/moves/${encodeURIComponent(subject)}`;
    case "moved_nowhere": return "#/routes";
    case "losses": return "#/losses?dropped=true";
    case "caution": return /^routes\b/.test(text) ? "#/routes" : /^central_systems\b/.test(text) ? "#/central-systems" : null;
    default: return null;
  }
}

// The fleet in numbers.

function tilesOf({ states, transactions }) {
  const tile = (href, kind, number, word) => h("li", {}, h("a", { class: `tile ${kind} ${number ? "some" : ""}`, href }, h("b", {}, number.toLocaleString("en")), h("span", {}, word)));
  const all = Object.values(states).reduce((sum, count) => sum + count, 0);
  return [tile("#/charge-points", "all", all, "Charge Points"),
    Object.entries(STATES).map(([state, { kind, word }]) => tile(`#/charge-points?state=${state}`, kind, states[state] ?? 0, word)),
    tile("#/transactions", "transactions", transactions, "Open transactions")];
}

// The processes of the bridge, if there are several.

function nodesOf({ nodes }) {
  if (!nodes.length) return null;
  const said = nodes.map(({ name, answers, slots }) => (answers ? `${name} has ${slots} of 1024 slots` : `${name} does not answer`));
  return [`${many(nodes.length, "process", "processes")}: `, said.join(", "), "."];
}

// The last hour.

const PLOTS = [
  ["Calls a minute", [["Calls", "messages", ""], ["Errors", "errors", ""]]],
  ["Answer times", [["p50", "p50_ms", "ms"], ["p99", "p99_ms", "ms"]]],
  ["Open transactions", [["Open", "transactions", ""]]],
];

class Hour {
  #plots = null; #shown = "";

  constructor(signal) {
    this.signal = signal;
    this.place = h("div", { class: "plots" });
    this.until = h("small", { class: "quiet" });
    this.element = h("section", { "aria-labelledby": "hour-title" }, h("h2", { id: "hour-title", class: "heading2" }, "The last hour ", this.until), this.place);
  }

  show(hour) {
    const text = JSON.stringify(hour);
    if (text === this.#shown) return;
    this.#shown = text;
    if (!hour.first) return void fill(this.place, h("p", { class: "card quiet" }, "The first minute since the start is not over yet."));
    const begin = Date.parse(hour.first) / 1000, times = hour.messages.map((_, at) => begin + 60 * at);
    // The values beside the names are those of this minute, and not those of now.
    fill(this.until, `in whole minutes; the numbers are of ${clockOf(times.at(-1))}`);
    const told = PLOTS.map(([, series]) => ({ times, series: series.map(([label, name, unit]) => ({ label, values: hour[name], unit })) }));
    if (this.#plots) return void this.#plots.forEach((each, at) => each.update(told[at]));
    const cards = PLOTS.map(() => h("div", { class: "card" }));
    fill(this.place, cards);
    this.#plots = PLOTS.map(([title], at) => plot(cards[at], { title, ...told[at], signal: this.signal }));
  }
}

// Moves, faults and losses.

function movesOf({ moves, moved, waiting_moves: waiting }) {
  const several = moves.map((move) => h("li", {}, h("a", { href: `#/moves/${move.id}` }, `Move ${move.id}`), ` of ${many(move.total, "Charge Point")} to ${move.central_system} `,
    badge({ kind: MOVES[move.state] ?? "none", word: move.state.replaceAll("_", " ") }), by(move.who, move.at)));
  const single = moved.map((entry) => h("li", {}, h("a", { class: "identity", href: `#/charge-points/${encodeURIComponent(entry.identity)}` }, entry.identity), ` ${entry.detail} `, h("span", { class: "quiet" }, entry.outcome), by(entry.who, entry.at)));
  return section("Last moves", waiting ? h("p", {}, h("a", { href: "#/moves" }, `${many(waiting, "Charge Point")} ${waiting === 1 ? "waits" : "wait"} for open transactions to end`)) : null,
    several.length || single.length ? h("ul", { class: "entries" }, several, single) : h("p", { class: "quiet" }, "No Charge Point was moved."));
}

function by(who, at) {
  return h("small", {}, `${who}, `, time(at, true));
}

function faultsOf({ faults }) {
  if (!faults.length) return null;
  const table = tableOf({ label: "Faulted connectors", columns: [{ name: "errorCode" }, { name: "Connectors", class: "number" }, { name: "Charge Points", class: "number" }], cells: (fault) => [
    h("a", { href: "#/charge-points?faulted=true" }, fault.error_code), fault.connectors.toLocaleString("en"), fault.charge_points.toLocaleString("en")] });
  table.show(faults);
  return section("Faulted connectors", table.element);
}

function lossesOf({ losses }) {
  if (!losses.length) return null;
  const table = tableOf({ label: "Most frequent losses", columns: [{ name: "Field" }, { name: "What happens" }, { name: "Times", class: "number" }], cells: (loss) => [
    fieldOf([loss.action, loss.field].filter(Boolean).join(".")), [loss.reason, loss.central_system ? h("small", { class: "quiet block" }, `with ${loss.central_system}`) : null], loss.count.toLocaleString("en")] });
  table.show(losses);
  return section([h("a", { href: "#/losses" }, "Most frequent losses"), h("span", { class: "quiet" }, " since the start")], table.element);
}
