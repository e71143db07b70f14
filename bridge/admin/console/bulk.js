// Several Charge Points at once: a command that is sent to each, or a move. What will happen is shown before it does.

import { chargePoint, get, post } from "./api.js";
import { code, CommandForm, commandsOf, sure } from "./command.js";
import { button, fill, h, icon, say } from "./dom.js";
import { Grid } from "./grid.js";
import { offer } from "./keys.js";
import { badge, choice, facts, field, loaded, section, trouble } from "./parts.js";
import { selection } from "./selection.js";
import { stream } from "./stream.js";
import { many, ms, outcomeOf, textOf } from "./words.js";

// Commands that are on their way at the same time.
const AT_ONCE = 8;
// The identities that a preview names; of the others it gives the number.
const NAMED = 12;

function begun({ main, signal, title, go }, heading) {
  const identities = selection.identities.sort((one, two) => one.localeCompare(two));
  title(heading);
  stream.follow(null);
  offer({ Escape: () => go("#/charge-points") }, signal);
  const place = h("div", { class: "columns even" });
  fill(main, h("div", { class: "top" }, h("div", { class: "heading" }, h("a", { href: "#/charge-points", class: "crumb" }, "Charge Points"),
    h("h1", {}, identities.length ? `${heading} ${many(identities.length, "Charge Point")}` : heading))), place);
  if (identities.length) return { identities, place };
  fill(place, section("No Charge Point is selected", h("p", {}, "Select some in the list first: ", h("a", { href: "#/charge-points" }, "Charge Points"), ". A selection does not outlive a reload of the page.")));
  return null;
}

function named(identities) {
  const rest = identities.length - NAMED;
  return h("p", { class: "named" }, identities.slice(0, NAMED).map((identity, at) => [at ? ", " : "", h("span", { class: "identity" }, identity)]), rest > 0 ? ` and ${rest.toLocaleString("en")} more` : "");
}

// A command.

export function bulkCommand(context) {
  const page = begun(context, "Send a command to");
  if (!page) return;
  const { identities, place } = page;
  loaded(place, context.signal, () => get("/actions", {}, context.signal), (actions) => {
    const { known, first } = commandsOf(actions, "");
    const right = h("section", { class: "card answer" }, h("h2", {}, "Preview"), h("p", { class: "quiet" }, "Whom the command goes to and what is sent is shown here before anything is sent."));
    const form = new CommandForm({
      actions: known, label: "Preview", busy: "Looking…",
      chosen: () => {}, send: (action, payload) => preview({ action, payload, dangerous: known[action].dangerous, identities, right, signal: context.signal, form }),
    });
    fill(place, form.begin(first), right);
  });
}

async function preview(bulk) {
  const { action, payload, identities, right, signal } = bulk;
  const there = [...(await lookedUp(identities, signal)).values()].filter(({ state }) => state === "up" || state === "no_central_system").length;
  const away = identities.length - there;
  const begin = button(`Send to ${many(identities.length, "Charge Point")}`, async () => {
    if (!bulk.dangerous || await sure(action, many(identities.length, "Charge Point"), payload)) run(bulk);
  }, { class: "primary" });
  fill(right, h("h2", {}, "Preview"), facts(
    ["Command", h("strong", {}, action)], ["To", many(identities.length, "Charge Point")],
    ["Reachable", there.toLocaleString("en")], ["Not there now", away ? `${away.toLocaleString("en")}: each of these will fail` : null],
    ["At a time", `${AT_ONCE}`]), named(identities), h("p", {}, "Each gets:"), code(payload),
  h("p", { class: "quiet" }, "Each is in the audit. Who leaves the page stops what has not begun."), h("div", { class: "buttons" }, begin));
  begin.focus();
}

// Each as the list has it: a page of a thousand at a time.
async function lookedUp(identities, signal) {
  const wanted = new Set(identities.map((identity) => identity.toLowerCase())), found = new Map();
  for (let cursor = ""; cursor !== null;) {
    const page = await get("/charge-points", { limit: 1000, cursor }, signal);
    for (const item of page.items) if (wanted.has(item.identity.toLowerCase())) found.set(item.identity, item);
    cursor = page.next;
  }
  return found;
}

const OUTCOMES = [["Charge Point", "c-identity"], ["Outcome", "c-outcome"], ["Answer", "c-what"], ["Took", "c-ms"]].map(([name, className]) => ({ name, class: className }));

// Sends to one after the other, AT_ONCE at a time; the outcome of each is a row.
async function run({ action, payload, identities, right, signal, form }) {
  form.sender.disabled = true;
  const rows = identities.map((identity) => ({ identity, outcome: "waits" })), counts = new Map();
  const grid = new Grid({ id: "outcome", label: "Outcomes", class: "outcomes", columns: OUTCOMES, cells: outcomeCells, open: ({ identity }) => { location.hash = `#/charge-points/${encodeURIComponent(identity)}`; } });
  signal.addEventListener("abort", () => grid.close());
  const bar = h("progress", { max: rows.length, value: 0, "aria-label": "Progress" }), told = h("p", { role: "status" });
  let stopped = false;
  const stop = button("Stop", () => { stopped = true; stop.disabled = true; });
  fill(right, h("h2", {}, `${action} to ${many(rows.length, "Charge Point")}`), h("p", { class: "progress" }, bar, stop), told, h("div", { class: "fillbox outcomebox" }, grid.container));
  grid.show(rows, rows.length);
  stop.focus();
  let next = 0, ended = 0;
  const worker = async () => {
    while (next < rows.length && !stopped && !signal.aborted) {
      const index = next++;
      rows[index] = { ...rows[index], outcome: "sending" };
      grid.refresh(index);
      rows[index] = await sent(rows[index].identity, action, payload);
      grid.refresh(index);
      ended += 1;
      const word = rows[index].answer?.payload?.status ?? outcomeWord(rows[index]);
      counts.set(word, (counts.get(word) ?? 0) + 1);
      bar.value = ended;
      told.textContent = `${ended.toLocaleString("en")} of ${rows.length.toLocaleString("en")}: ${[...counts].map(([name, count]) => `${count.toLocaleString("en")} ${name}`).join(", ")}`;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (signal.aborted) return;
  stop.remove();
  if (stopped) rows.forEach((row, index) => { if (row.outcome === "waits") { rows[index] = { ...row, outcome: "not sent" }; grid.refresh(index); } });
  form.sender.disabled = false;
  say(`${action}: ${told.textContent}`);
}

async function sent(identity, action, payload) {
  try {
    const answer = await post(chargePoint(identity, "/calls"), { action, payload });
    return { identity, outcome: answer.outcome, answer };
  } catch (error) {
    if (error.status === undefined) throw error;
    return { identity, outcome: "failed", why: error.message };
  }
}

function outcomeWord({ outcome }) {
  return outcome === "result" ? "answered" : outcome;
}

function outcomeCells(row) {
  const { answer, outcome } = row, kind = outcome === "failed" ? "down" : outcome === "waits" || outcome === "sending" || outcome === "not sent" ? "none" : outcomeOf(outcome).kind;
  return [
    h("span", { class: "identity" }, row.identity), badge({ kind, word: outcomeWord(row) }),
    row.why ?? (answer?.error ? textOf(answer.error) : answer?.payload?.status ?? (answer ? "answered" : "")), answer ? ms(answer.ms) : "",
  ];
}

// A move.

const WHEN = [["idle", "as soon as no transaction is open"], ["now", "at once"]];

export function bulkMove(context) {
  const page = begun(context, "Move");
  if (!page) return;
  const { identities, place } = page;
  loaded(place, context.signal, () => get("/central-systems", {}, context.signal), ({ items }) => {
    const wanted = { charge_points: identities, central_system: items[0]?.name ?? "", when: "idle", wave: 20, pause: 0, stop_if: "errors>5%" };
    const right = h("section", { class: "card answer" }, h("h2", {}, "Preview"), h("p", { class: "quiet" }, "Where each is now and where it goes is shown here before any moves."));
    const number = (name, min) => h("input", { type: "number", min, value: String(wanted[name]), on: { input: (event) => { wanted[name] = Number(event.target.value); } } });
    const show = h("button", { type: "submit", class: "primary" }, "Preview");
    const form = h("form", { class: "card command", on: { submit: (event) => { event.preventDefault(); previewMove(wanted, right, context, show); } } },
      h("div", { class: "members" },
        field("To the Central System", choice(items.map(({ name }) => [name, name]), wanted.central_system, (value) => { wanted.central_system = value; })),
        field("When", choice(WHEN, wanted.when, (value) => { wanted.when = value; })),
        field("Charge Points at the same time (a wave)", number("wave", 1)),
        field("Seconds between two waves", number("pause", 0)),
        field("Stop if (empty: never)", h("input", { value: wanted.stop_if, spellcheck: "false", on: { input: (event) => { wanted.stop_if = event.target.value.trim(); } } }))),
      h("div", { class: "buttons" }, show));
    fill(place, form, right);
  });
}

async function previewMove(wanted, right, { signal, go }, show) {
  show.disabled = true;
  const ask = async () => [await post("/moves", { ...wanted, dry_run: true }), await lookedUp(wanted.charge_points, signal)];
  await loaded(right, signal, ask, ([one, found]) => {
    const from = new Map();
    for (const { central_system: name } of found.values()) from.set(name ?? "none", (from.get(name ?? "none") ?? 0) + 1);
    const charging = [...found.values()].filter(({ transactions }) => transactions).length;
    const begin = button(`Move ${many(one.total, "Charge Point")}`, async () => {
      begin.disabled = true;
      try {
        const move = await post("/moves", wanted);
        selection.clear();
        go(`#/moves/${move.id}`);
      } catch (error) {
        if (error.status === undefined) throw error;
        begin.disabled = false;
        right.prepend(trouble(error));
      }
    }, { class: "primary", disabled: !one.total });
    fill(right, h("h2", {}, "Preview"), facts(
      ["Charge Points", one.total.toLocaleString("en")], ["From", [...from].map(([name, count]) => `${name} ${count.toLocaleString("en")}`).join(", ")], ["To", h("strong", {}, one.central_system)],
      ["Charging now", charging ? `${charging.toLocaleString("en")}${one.when === "idle" ? ": these move when their transactions have ended" : ": their transactions go on at the old one"}` : "none"], ["Takes effect", WHEN.find(([key]) => key === one.when)[1]],
      ["Waves", `of ${one.wave}${one.pause ? `, ${one.pause} s in between` : ""}`], ["Stops if", one.stop_if || "never"]), named(one.members.map(({ identity }) => identity)),
    h("p", { class: "why" }, icon("warning"), h("span", {}, "Each link to the present Central System is closed and one to the other is opened. The page of the move shows how far it is, and the outcome of each; it can be paused and rolled back there.")),
    h("div", { class: "buttons" }, begin));
    begin.focus();
  });
  show.disabled = false;
}
