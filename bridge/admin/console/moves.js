// Moves of several Charge Points to another Central System: how far they are, and what can be done to them.

import { get, post } from "./api.js";
import { button, fill, h, say } from "./dom.js";
import { followed } from "./followed.js";
import { ask } from "./keys.js";
import { badge, facts, section, time, trouble } from "./parts.js";
import { stream } from "./stream.js";
import { table } from "./table.js";
import { many, MOVES, span } from "./words.js";

// Milliseconds between two looks at a page: a move goes on without an event for each step.
const EVERY = 1500;

const STEPS = {
  pause: ["Pause", ["running"]],
  resume: ["Resume", ["paused", "stopped"]],
  rollback: ["Roll back…", ["running", "paused", "stopped", "done"]],
};

export function moves({ main, signal, title }) {
  title("Moves");
  const list = h("div", { class: "stack" });
  fill(main, h("div", { class: "top" }, h("h1", {}, "Moves")),
    h("p", { class: "quiet lead" }, "Charge Points on their way to another Central System, newest move first. ", h("code", {}, "ocpp-bridge move"), " begins one."), list);
  stream.follow(null);
  const draw = ({ items, waiting }) => fill(list,
    items.length ? table("Moves", ["Move", "State", "To", "Charge Points", "Progress", "Failed", "Asked by", "At"], items.map(row)) : h("p", { class: "empty" }, "Nothing was moved yet."),
    waiting.length ? section("Wait until they have no open transaction, or their new Central System has got what it is owed", table("Charge Points that wait", ["Charge Point", "To", "Open transactions", "Asked by"], waiting.map((one) => [
      identity(one.identity), one.central_system ?? "no route", one.open_transactions, one.who]))) : null);
  followed({ place: list, signal, every: EVERY, load: () => get("/moves", {}, signal), draw });
}

export function move({ main, signal, title }, number) {
  title(`Move ${number}`);
  const head = h("div", { class: "top" }), body = h("div", { class: "stack" });
  fill(main, head, body);
  stream.follow(null);
  const load = () => get(`/moves/${encodeURIComponent(number)}`, {}, signal);
  const again = followed({ place: body, signal, every: EVERY, load, draw: (one) => {
    drawHead(head, one, body, () => again());
    fill(body, about(one), table("Charge Points of the move", ["Charge Point", "State", "Before", "Reason"], one.members.map((member) => [
      identity(member.identity), state(member.state), member.before ?? "its route's", member.reason])));
  } });
}

function drawHead(head, one, body, again) {
  const held = head.contains(document.activeElement) && document.activeElement.dataset.does;
  const steps = Object.entries(STEPS).filter(([, [, states]]) => states.includes(one.state));
  fill(head,
    h("div", { class: "heading" }, h("a", { href: "#/moves", class: "crumb" }, "Moves"), h("h1", {}, `Move ${one.id}`), state(one.state)),
    h("div", { class: "buttons" }, steps.map(([name, [label]]) => button(label, () => step(one, name, body, again), { data: { does: name } }))));
  if (held) (head.querySelector(`[data-does=${held}]`) ?? head.querySelector("button"))?.focus();
}

async function step(one, name, body, again) {
  if (name === "rollback") {
    const yes = await ask({
      heading: `Roll back move ${one.id}?`, label: "Roll back", danger: true,
      body: h("p", {}, "Every Charge Point of it is given back at once to the Central System that it had before. Transactions that began at the new one end there."),
    });
    if (!yes) return;
  }
  try {
    const told = await post(`/moves/${one.id}/${name}`);
    say(`Move ${one.id}: ${words(told.state)}`);
    await again();
  } catch (error) {
    body.prepend(trouble(error, again));
  }
}

function about(one) {
  return section("How it goes", progress(one), facts(
    ["Charge Points", one.selection], ["To", one.central_system], ["Stopped because", one.reason || null],
    ...Object.entries(one.counts).filter(([, count]) => count).map(([name, count]) => [words(name), count]),
    ["Takes effect", one.when === "idle" ? "when no transaction is open" : "at once"],
    ["Waves", `of ${many(one.wave, "Charge Point")}${one.pause ? `, ${span(one.pause)} in between` : ""}`],
    ["Stops if", one.stop_if || null], ["Asked by", one.who], ["At", time(one.at)]));
}

function progress(one) {
  const ended = one.counts.done + one.counts.failed + one.counts.rolled_back;
  return h("p", {}, h("progress", { max: one.total, value: ended, "aria-label": `Progress of move ${one.id}` }), ` ${ended} of ${one.total}`);
}

function row(one) {
  return [h("a", { href: `#/moves/${one.id}` }, `Move ${one.id}`), state(one.state), one.central_system, one.selection, progress(one), one.counts.failed, one.who, time(one.at)];
}

const words = (name) => name.replaceAll("_", " ");
const state = (name) => badge({ kind: MOVES[name] ?? "none", word: words(name) });
const identity = (name) => h("a", { class: "identity", href: `#/charge-points/${encodeURIComponent(name)}` }, name);
