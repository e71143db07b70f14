// The further Central Systems of routes: what waits for each, since when, and what it will never get.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { loaded, time } from "./parts.js";
import { stream } from "./stream.js";
import { tableOf } from "./table.js";
import { many } from "./words.js";

export function observers({ main, signal, title }) {
  title("Observers");
  const place = h("div", { class: "stack" });
  fill(main, h("div", { class: "top" }, h("h1", {}, "Observers")),
    h("p", { class: "quiet lead" }, "Central Systems that get the messages of Charge Points after their own Central System has answered them. Those that are a ", h("code", {}, "shadow"), " have a page of ", h("a", { href: "#/readiness" }, "readiness"), ", too."), place);
  stream.follow(null);
  loaded(place, signal, () => get("/observers", {}, signal), ({ items }) => {
    const made = tableOf({ label: "Observers", columns: COLUMNS, cells, sorted: { by: "Central System", descending: false } });
    fill(place, made.element);
    made.show(items, "No route has a further Central System.");
  });
}

const COLUMNS = [
  { name: "Central System", by: (one) => one.central_system }, { name: "Role" }, { name: "Routes" },
  { name: "Messages waiting", class: "number", by: (one) => one.waiting }, { name: "Oldest" },
  { name: "Never sent", class: "number", by: lost }, { name: "State" },
];

function cells(one) {
  const reasons = Object.entries(one.lost ?? {}).map(([why, count]) => `${why}: ${count}`).join(", ");
  return [one.central_system, one.roles.join(", "), h("code", {}, one.routes.join(", ")), one.waiting, one.oldest && time(one.oldest),
    one.lost && h("span", { title: reasons }, String(lost(one))), state(one)];
}

function lost(one) {
  return Object.values(one.lost ?? {}).reduce((sum, count) => sum + count, 0);
}

function state(one) {
  if (one.halted) return `halted at ${many(one.halted, "Charge Point")}: ${one.trouble ?? "a transaction message has no answer"}`;
  return one.trouble ?? (one.waiting ? "sending" : "nothing waits");
}
