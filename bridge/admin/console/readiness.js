// How the answers of a shadow compare with those of the main Central System, and which Charge Points may be moved to it.

import { get } from "./api.js";
import { button, debounced, fill, h, say } from "./dom.js";
import { badge, choice, facts, field, loaded, section, time } from "./parts.js";
import { stream } from "./stream.js";
import { table } from "./table.js";
import { many } from "./words.js";

const PAGE = 100;
const LISTED = [["", "all"], ["true", "ready"], ["false", "not ready"]];

const pathOf = (name) => `/central-systems/${encodeURIComponent(name)}/readiness`;

export function readiness({ main, signal, title }) {
  title("Readiness");
  const list = h("div", { class: "stack" });
  fill(main, h("div", { class: "top" }, h("h1", {}, "Readiness")),
    h("p", { class: "quiet lead" }, "Central Systems that get the Calls of Charge Points as a ", h("code", {}, "shadow"), ": their answers are compared, and reach no Charge Point."), list);
  stream.follow(null);
  loaded(list, signal, () => overview(signal), (all) => fill(list, all.length
    ? table("Shadows", ["Central System", "State", "Charge Points ready", "Sessions", "Days", "Answers that differ"], all.map(row))
    : h("p", { class: "empty" }, "No Central System is a shadow in a route.")));
}

async function overview(signal) {
  const { items } = await get("/routes", {}, signal);
  const names = new Set(items.flatMap((route) => route.also).filter((one) => one.role === "shadow").map((one) => one.central_system));
  return Promise.all([...names].sort().map((name) => get(pathOf(name), { limit: 1 }, signal)));
}

function row(one) {
  return [h("a", { href: `#/readiness/${encodeURIComponent(one.central_system)}` }, one.central_system), state(one),
    `${one.ready_charge_points} of ${one.charge_points}`, one.sessions, one.days, sum(one.actions, "differing")];
}

export function readinessOf({ main, signal, title }, name) {
  title(`Readiness for ${name}`);
  const head = h("div", { class: "top" }), body = h("div", { class: "stack" }), list = h("div", { class: "stack" });
  const wanted = { identity: "", ready: "" };
  const again = () => loaded(body, signal, () => get(pathOf(name), { ...wanted, limit: PAGE }, signal), (one) => {
    drawHead(head, name, again, state(one));
    fill(body, about(one), section("Answers", answers(one)), one.examples.length ? section("Examples of differences", examples(one.examples)) : null);
    fill(list, chargePoints(one, wanted, name, signal));
    say(`${many(one.total, "Charge Point")} listed`);
  });
  const identity = h("input", { type: "search", placeholder: "EVLINK-*", on: { input: debounced(300, () => { wanted.identity = globOf(identity.value); again(); }) } });
  const ready = choice(LISTED, "", (value) => { wanted.ready = value; again(); });
  const filters = h("div", { class: "filters" }, field("Charge Points that count", identity), field("Listed", ready));
  fill(main, head, h("div", { class: "stack" }, body, filters, list));
  drawHead(head, name, again);
  stream.follow(null);
  again();
}

// A text without a sign of a glob is a part of an identity.
const globOf = (text) => (!text || /[*?[]/.test(text) ? text : `*${text}*`);

function drawHead(head, name, again, shown = null) {
  const held = head.contains(document.activeElement);
  fill(head,
    h("div", { class: "heading" }, h("a", { href: "#/readiness", class: "crumb" }, "Readiness"), h("h1", {}, name), shown),
    h("div", { class: "buttons" }, button("Read again", again)));
  if (held) head.querySelector("button").focus();
}

function about(one) {
  return section("Before a move", facts(
    ["Not ready because", one.why || null], ["Charge Points ready", `${one.ready_charge_points} of ${one.charge_points}`],
    ["Ready after", `${many(one.ready_after, "session")} without a difference that a driver feels`],
    ["Sessions", one.sessions], ["Compared since", one.since ? time(one.since) : "nothing was compared yet"], ["Days", one.days]));
}

function answers(one) {
  if (!one.actions.length) return h("p", { class: "empty" }, "No answer was compared yet.");
  return table("Answers by action", ["Action", "Compared", "Differ", "Fields"], one.actions.map((each) => [
    each.action, each.compared, each.differing, each.fields.map(({ field: path, count }) => `${path || "the answer"} ${count}`).join(", ")]));
}

function examples(all) {
  return table("Examples of differences", ["Action", "Field", "Main", "Here", "Charge Point", "At", "Request"], all.map((each) => [
    each.action, each.field || "the answer", code(each.main), code(each.shadow), identityOf(each.identity), time(each.at), code(each.request)]));
}

function chargePoints(one, wanted, name, signal) {
  if (!one.items.length) return h("p", { class: "empty" }, "No Charge Point fits.");
  const place = h("div", {}), items = [...one.items];
  const draw = (next) => fill(place,
    table("Charge Points", ["Charge Point", "State", "Sessions in a row", "Sessions", "Days", "Compared", "Differ", "Why not"], items.map((each) => [
      identityOf(each.identity), state(each), each.clean_sessions, each.sessions, each.days, each.compared, each.differing, each.why])),
    next ? h("p", {}, button("More", () => loaded(place, signal, () => get(pathOf(name), { ...wanted, limit: PAGE, cursor: next }, signal), (page) => {
      items.push(...page.items);
      draw(page.next);
    }))) : null);
  draw(one.next);
  return section(`${many(one.total, "Charge Point")}`, place);
}

const sum = (all, key) => all.reduce((count, each) => count + each[key], 0);
const state = (one) => badge(one.ready ? { kind: "up", word: "ready" } : { kind: "stale", word: "not ready" });
const code = (text) => h("code", {}, text);
const identityOf = (name) => h("a", { class: "identity", href: `#/charge-points/${encodeURIComponent(name)}` }, name);
