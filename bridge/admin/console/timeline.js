// What happened at one Charge Point, the newest first: connections, states, boots, statuses, transactions.

import { chargePoint, get } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { choice, field, loaded } from "./parts.js";
import { clock, energy, STATES } from "./words.js";

const KINDS = {
  link: "connections", state: "states", moved: "moves", callback: "callback addresses", boot: "boots", status: "statuses",
  transaction_started: "transactions", transaction_ended: "transactions",
};
const SHOWN = [["", "everything"], ...[...new Set(Object.values(KINDS))].map((name) => [name, name])];
const MOST = 300;

// {element, reload()}
export function timelineOf(identity, signal) {
  const place = h("div", { class: "timelinebox", tabindex: 0, role: "region", "aria-label": "What happened" }, h("p", { class: "quiet" }, "Looking…"));
  let shown = "", items = [];
  const draw = () => {
    const fitting = items.filter(({ kind }) => !shown || KINDS[kind] === shown);
    fill(place, fitting.length ? days(fitting) : h("p", { class: "empty" }, shown ? `No ${shown} are known.` : "Nothing is known yet."));
  };
  const filter = choice(SHOWN, shown, (value) => { shown = value; draw(); });
  const element = h("section", { class: "card timeline" }, h("div", { class: "cardhead" }, h("h2", {}, "Timeline"), field("Show", filter, { class: "field inline" })), place);
  const reload = () => loaded(place, signal, () => get(chargePoint(identity, "/timeline"), { limit: MOST }, signal), (answer) => {
    if (JSON.stringify(answer.items) === JSON.stringify(items)) return;
    items = answer.items;
    draw();
  });
  return { element, reload };
}

function days(items) {
  const lists = [];
  let day = "";
  for (const item of items) {
    const at = new Date(item.at), its = at.toDateString();
    if (its !== day) {
      day = its;
      const name = its === new Date().toDateString() ? "Today" : at.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric" });
      lists.push([h("h3", {}, name), h("ol", { class: "moments" })]);
    }
    lists.at(-1)[1].append(momentOf(item));
  }
  return lists;
}

function momentOf(item) {
  const { kind, words } = told(item), often = item.times > 1 ? `, ${item.times} times since ${clock(item.since).slice(-12, -4)}` : "";
  const text = h("span", {}, words, often);
  return h("li", {}, h("time", { datetime: item.at, title: item.at }, clock(item.at).slice(-12, -4)), h("span", { class: `mark ${kind}` }, icon(kind)),
    item.message ? h("a", { href: `#/messages/${item.message}` }, text) : text);
}

const PARTIES = { charge_point: "Charge Point", central_system: "Central System" };

function told({ kind, text, party, connector, transaction_id: number, energy: wh }) {
  const on = connector === null ? "" : connector === 0 ? "Charge Point" : `Connector ${connector}`;
  switch (kind) {
    case "link": return { kind: text.startsWith("connected") ? "up" : "down", words: `${PARTIES[party]} ${text}` };
    case "state": return { kind: STATES[text]?.kind ?? "none", words: `State: ${STATES[text]?.word ?? text}` };
    case "moved": return { kind: "right", words: `Moved: ${text}` };
    case "callback": return { kind: "right", words: `Callback address: ${text}` };
    case "boot": return { kind: text === "Accepted" ? "boot" : "warning", words: `BootNotification: ${text}` };
    case "status": return { kind: text.startsWith("Faulted") ? "warning" : "point", words: `${on}: ${text}` };
    case "transaction_started": return { kind: "play", words: `Transaction ${number} started on connector ${connector}, ${text}` };
    case "transaction_ended": return { kind: "stop", words: [`Transaction ${number} ended on connector ${connector}`, wh === null ? "" : energy(wh), text].filter(Boolean).join(", ") };
  }
  return { kind: "none", words: text };
}
