// One Charge Point: connected or not, through what, to whom; what it does; what it says, live; what can be done.

import { chargePoint as path, get, post, put, remove } from "./api.js";
import { button, fill, h, icon, say, throttled } from "./dom.js";
import { ask, offer } from "./keys.js";
import { addressOf, MessageList } from "./message-list.js";
import { badge, choice, facts, field, loaded, section, ticking, time, trouble } from "./parts.js";
import { stream } from "./stream.js";
import { farState, many, nearState, span, stateOf, textOf, transport } from "./words.js";
import { urlLine } from "./addresses.js";
import { metersOf } from "./meters.js";
import { timelineOf } from "./timeline.js";

export function chargePoint(context, identity) {
  const { main, signal, title, go } = context;
  title(identity);
  const head = h("div", { class: "top" }), side = h("div", { class: "stack side" });
  const commandAddress = `#/charge-points/${encodeURIComponent(identity)}/command`;
  const list = new MessageList({ identity, signal, go });
  const timeline = timelineOf(identity, signal), meters = metersOf(identity, signal);
  const reload = () => loaded(side, signal, () => get(path(identity), {}, signal), (item) => draw(item, { head, side, context, reload, list }));
  const more = () => Promise.all([timeline.reload(), meters.reload()]);
  fill(main, head, h("div", { class: "columns" }, side, h("div", { class: "stack" }, timeline.element, meters.element, h("section", { class: "card said" }, h("h2", {}, "Messages"), list.element))));
  drawHead(head, { identity }, context, reload);
  list.reload().then(reload).then(more);
  stream.follow(identity);
  const soon = throttled(700, reload);
  for (const name of ["message", "link", "charge-point", "missed"]) stream.addEventListener(name, throttled(2000, more), { signal });
  for (const name of ["message", "link", "charge-point", "refused", "missed"]) stream.addEventListener(name, soon, { signal });
  ticking(side, signal);
  offer({ "/": () => list.action.focus(), j: () => list.grid.move(1), k: () => list.grid.move(-1), p: () => list.pause(!list.paused), c: () => go(commandAddress), Escape: () => go("#/charge-points") }, signal);
}

function drawHead(head, item, context, reload) {
  const held = head.contains(document.activeElement) && document.activeElement.dataset.does;
  fill(head,
    h("div", { class: "heading" }, h("a", { href: "#/charge-points", class: "crumb" }, "Charge Points"), h("h1", { class: "identity" }, item.identity), item.state ? badge(stateOf(item)) : null),
    h("div", { class: "buttons" },
      h("a", { class: "button primary", href: `#/charge-points/${encodeURIComponent(item.identity)}/command`, data: { does: "command" } }, "Send a command"),
      button("Move…", () => move(item, reload), { data: { does: "move" }, disabled: !item.state }),
      button("Disconnect…", () => disconnect(item, reload), { data: { does: "disconnect" }, disabled: !item.state })));
  if (held) head.querySelector(`[data-does=${held}]`)?.focus();
}

function draw(item, { head, side, context, reload, list }) {
  drawHead(head, item, context, reload);
  fill(side, line(item), lastError(item, list.troubled), about(item), connectors(item), counters(item), manners(item), typed(item));
}

// The Charge Point, the bridge, the Central System, and the two links between them.
function line(item) {
  const near = nearState(item.charge_point), far = farState(item.central_side);
  const waiting = item.waiting ? h("p", { class: "waitingcalls" }, icon("stale"), `${many(item.waiting, "Call")} waiting or in flight`) : null;
  return h("section", { class: "card line", "aria-label": "Connection" },
    h("div", { class: "leg" }, h("div", { class: "node" }, h("small", {}, "Charge Point"), h("strong", {}, transport(item.charge_point)), h("span", { class: "quiet" }, "last seen ", time(item.last_seen, true))),
      wire(near), h("div", { class: "node bridge" }, h("small", {}, "bridge"), h("span", { class: "quiet" }, item.route ? h("code", {}, item.route) : "no route")),
      wire(far), h("div", { class: "node" }, h("small", {}, "Central System"), h("strong", {}, item.central_system ?? "–"), h("span", { class: "quiet" }, `${transport(item.central_side)}${item.name && item.name !== item.identity ? ` as ${item.name}` : ""}`))),
    waiting, moveThatWaits(item), farReason(item));
}

function wire(state) {
  return h("div", { class: `wire ${state.kind}` }, badge(state));
}

function moveThatWaits(item) {
  const waits = item.waiting_move;
  if (!waits) return null;
  return h("p", { class: "waitingcalls" }, icon("stale"), `Moves to ${waits.central_system ?? "no Central System"} when ${many(waits.open_transactions, "open transaction")} ${waits.open_transactions === 1 ? "has" : "have"} ended; asked by ${waits.who}`);
}

function farReason(item) {
  const { reason, failures } = item.central_side ?? {};
  if (!reason && !failures) return null;
  const tries = failures ? ` ${many(failures, "attempt")} failed in a row.` : "";
  return h("p", { class: "why" }, icon("warning"), h("span", {}, h("strong", {}, "Central System: "), `${textOf(reason) || "not reached."}${tries}`));
}

// In the words of the message that tells of it, where that is among those listed.
function lastError(item, troubled) {
  if (!item.last_error) return null;
  return h("section", { class: "why card" }, icon("warning"), h("div", {}, h("h2", {}, "Last error ", item.last_error_at ? h("span", { class: "quiet" }, time(item.last_error_at, true)) : null),
    troubled ? h("p", {}, troubled.action ? `${troubled.action}: ` : "", `${troubled.why} `, h("a", { href: addressOf(troubled) }, "See the message")) : h("p", {}, item.last_error)));
}

const SOURCES = { configured: "from the configuration", learnt: "learnt from its messages", guessed: "guessed from its address", none: "none known" };

function about(item) {
  const { callback } = item;
  return section("About", facts(
    ["Vendor", item.vendor], ["Model", item.model], ["Serial", item.serial], ["Firmware", item.firmware], ["Address", item.address && h("code", {}, item.address)],
    ["Takes commands at", item.charge_point?.transport === "soap" ? [callback.url ? h("code", {}, callback.url) : "", " ", h("span", { class: "quiet" }, SOURCES[callback.source])] : null],
    ["Because", callback.reason], ["Central System", item.moved ? "chosen by an operator, not by its route" : null], ["Heartbeat every", item.heartbeat_interval ? span(item.heartbeat_interval) : null]));
}

function connectors(item) {
  const heading = "Connectors and transactions", open = item.open_transactions;
  // A transaction may be open on a connector that said nothing of itself since the bridge started.
  const silent = open.filter((each) => !item.connectors.some(({ number }) => number === each.connector));
  const rows = [...item.connectors, ...silent.map((each) => ({ number: each.connector, status: null }))];
  if (!rows.length) return section(heading, h("p", { class: "quiet" }, "Nothing heard of them yet."));
  return section(heading, h("table", {}, h("thead", {}, h("tr", {}, ["Connector", "Status", "Transaction"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((each) => h("tr", {}, h("th", { scope: "row" }, each.number === 0 ? "0, all of it" : each.number), h("td", {}, status(each.status)), h("td", {}, transactionsOn(each, open)))))));
}

function status(said) {
  return said === "Faulted" ? badge({ kind: "warning", word: said }) : said ?? "not said";
}

function transactionsOn({ number, transaction_id: known }, open) {
  const ids = new Set(open.filter(({ connector }) => connector === number).map((each) => each.transaction_id));
  if (known !== null && known !== undefined) ids.add(known);
  return [...ids].join(", ") || "–";
}

const BAD = new Set(["errors", "unanswered", "refused", "dropped"]);

function counters(item) {
  const counted = Object.entries(item.counters);
  return counted.length ? section("Since the bridge started", h("dl", { class: "counters" }, counted.map(([name, value]) =>
    h("div", { class: BAD.has(name) && value ? "bad" : value ? "" : "nothing" }, h("dt", {}, name), h("dd", {}, Number(value).toLocaleString("en")))))) : null;
}

function manners(item) {
  const known = Object.entries(item.manners);
  return known.length ? section("Treated in its own way", facts(...known.map(([name, value]) => [name.replaceAll("_", " "), textOf(value)]))) : null;
}

function typed(item) {
  const urls = item.charge_point ? item.addresses_to_type[item.charge_point.transport] : [...item.addresses_to_type.soap, ...item.addresses_to_type.json];
  return urls.length ? section("Type into it", h("ul", { class: "urls" }, urls.map(urlLine))) : null;
}

async function disconnect(item, reload) {
  const yes = await ask({
    heading: `Disconnect ${item.identity}?`, label: "Disconnect", danger: true,
    body: h("p", {}, "Its links on both sides are closed. It comes back by itself with its next message or its next attempt to connect."),
  });
  if (yes) await done(() => post(path(item.identity, "/disconnect")), `${item.identity} was disconnected`, reload);
}

async function move(item, reload) {
  const names = (await get("/central-systems")).items.map(({ name }) => name);
  let wanted = names.find((name) => name !== item.central_system) ?? "";
  const others = names.filter((name) => name !== item.central_system).map((name) => [name, name]);
  const back = item.moved || item.waiting_move || !others.length ? [["", "what its route says"]] : [];
  const select = choice([...others, ...back], wanted, (value) => { wanted = value; });
  const yes = await ask({
    heading: `Move ${item.identity}?`, label: "Move", body: h("div", {},
      h("p", {}, `It is with ${item.central_system ?? "no Central System"} now. Its link there is closed and one to the other is opened. This holds over a restart and is written down under Audit. With a transaction that is open, it moves as soon as there is none.`),
      item.transactions ? h("p", { class: "why" }, icon("warning"), h("span", {}, `${many(item.transactions, "transaction")} open now.`)) : null,
      field("To", select)),
    read: () => ({ to: wanted }),
  });
  if (!yes) return;
  const route = path(item.identity, "/route");
  await done(() => (yes.to ? put(route, { central_system: yes.to }) : remove(route)), `${item.identity} moves to ${yes.to || "what its route says"}`, reload);
}

async function done(work, told, reload) {
  const place = document.querySelector(".top");
  try {
    await work();
    say(told);
    await reload();
  } catch (error) {
    place.after(trouble(error));
  }
}

