// Who changed what: commands, disconnects, moves.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { loaded, time } from "./parts.js";
import { stream } from "./stream.js";

export function audit({ main, signal, title }) {
  title("Audit");
  const list = h("div", {});
  fill(main, h("div", { class: "top" }, h("h1", {}, "Audit")),
    h("p", { class: "quiet lead" }, "What was done through the API and this console, newest first."), list);
  stream.follow(null);
  loaded(list, signal, () => get("/audit", { limit: 500 }, signal), (answer) => fill(list, table(answer.items)));
}

const COLUMNS = ["At", "Charge Point", "Who", "What", "Detail", "Ended"];

function table(records) {
  if (!records.length) return h("p", { class: "empty" }, "Nothing was done yet.");
  return h("div", { class: "card scroll", tabindex: 0, role: "region", "aria-label": "Audit records" }, h("table", {},
    h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, records.map((record) => h("tr", {}, h("td", {}, time(record.at)),
      h("td", {}, record.identity
        ? h("a", { class: "identity", href: `#/charge-points/${encodeURIComponent(record.identity)}` }, record.identity)
        : "several"),
      h("td", {}, record.who), h("td", {}, record.what), h("td", {}, record.detail), h("td", {}, record.outcome))))));
}
