// What was dropped, altered or assumed since the start of the bridge: by field and reason, with an example.

import { get } from "./api.js";
import { debounced, fill, h } from "./dom.js";
import { followed } from "./followed.js";
import { offer } from "./keys.js";
import { badge, choice, field, fieldOf, ticking, time } from "./parts.js";
import { stream } from "./stream.js";
import { tableOf } from "./table.js";
import { many } from "./words.js";

const EVERY = 5000;
const COLUMNS = [
  { name: "Action", by: (one) => one.action }, { name: "Field", by: (one) => one.field }, { name: "What happens", class: "reason", by: (one) => one.reason }, { name: "Central System", by: (one) => one.central_system }, { name: "Content", by: (one) => Number(one.dropped) },
  { name: "Times", class: "number", by: (one) => one.count }, { name: "Last", by: (one) => one.at }, { name: "Last Charge Point", by: (one) => one.identity },
];

export function losses({ main, signal, query, title }) {
  title("Losses");
  const filters = { text: query.get("text") ?? "", dropped: query.get("dropped") ?? "" };
  const search = h("input", { type: "search", value: filters.text, placeholder: "part of a field, a reason, a Central System", spellcheck: "false", autocapitalize: "off", on: { input: debounced(150, () => filter("text", search.value.trim())) } });
  const kept = choice([["", "all"], ["true", "where content was dropped"]], filters.dropped, (value) => filter("dropped", value));
  const table = tableOf({ label: "Losses", columns: COLUMNS, cells, sorted: { by: "Times", descending: true } });
  const place = h("div", { class: "stack" }), number = h("span", { class: "quiet", role: "status" });
  let items = [];
  fill(main, h("div", { class: "top" }, h("h1", {}, "Losses")),
    h("p", { class: "quiet lead" }, "Values that the bridge dropped, altered or assumed since it was started. Most are a matter of two versions or transports; where content was dropped, a Charge Point or a Central System wrote something wrong."),
    h("div", { class: "filters" }, field("Filter", search, { class: "field wide" }), field("Show", kept), number), place);
  stream.follow(null);
  offer({ "/": () => search.focus() }, signal);
  const draw = () => {
    const text = filters.text.toLowerCase();
    const found = items.filter((one) => (!filters.dropped || one.dropped) && `${one.message}.${one.field} ${one.reason} ${one.central_system}`.toLowerCase().includes(text));
    if (!table.element.isConnected) fill(place, table.element);
    table.show(found, items.length ? "No loss fits these filters." : "Nothing was lost since the start.");
    number.textContent = many(found.length, "row");
  };
  function filter(name, value) {
    filters[name] = value;
    const given = Object.entries(filters).filter(([, each]) => each);
    history.replaceState(null, "", given.length ? `#/losses?${new URLSearchParams(given)}` : "#/losses");
    draw();
  }
  followed({ place, signal, every: EVERY, load: () => get("/losses", {}, signal), draw: (answer) => { items = answer.items; draw(); } });
  ticking(main, signal);
}

function cells(one) {
  return [
    h("span", { class: "action" }, one.action), [one.field ? fieldOf(one.field) : h("span", { class: "quiet" }, "the message"), /Response$/.test(one.message) ? h("small", { class: "quiet block" }, "in the answer") : null],
    one.reason, one.central_system || "–", one.dropped ? badge({ kind: "warning", word: "dropped" }) : h("span", { class: "quiet" }, "kept"), one.count.toLocaleString("en"), time(one.at, true),
    h("a", { class: "identity", href: `#/charge-points/${encodeURIComponent(one.identity)}` }, one.identity),
  ];
}
