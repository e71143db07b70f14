// Who changed what: commands, disconnects, moves, settings. The newest first, as far back as one scrolls.

import { debounced, fill, h } from "./dom.js";
import { Grid } from "./grid.js";
import { offer } from "./keys.js";
import { Paged } from "./paged.js";
import { field, time, trouble } from "./parts.js";
import { stream } from "./stream.js";

const FILTERS = [["identity", "Charge Point", "identity"], ["who", "Who", "a name"], ["what", "What", "move, Reset, …"]];
const COLUMNS = [["At", "c-at"], ["Charge Point", "c-identity"], ["Who", "c-who"], ["What", "c-does"], ["Detail", "c-detail"], ["Outcome", "c-ended"]].map(([name, className]) => ({ name, class: className }));

export function audit({ main, signal, query, title, go }) {
  title("Audit");
  const filters = Object.fromEntries(["identity", "who", "what", "since"].map((name) => [name, query.get(name) ?? ""]));
  const list = new Paged({ path: "/audit", signal, changed: draw, failed: (error) => error.status !== 401 && fill(place, trouble(error, () => list.load(asked()))) });
  const grid = new Grid({
    id: "audit", label: "Audit", class: "audit", columns: COLUMNS, cells, wanted: (index) => list.want(index),
    open: (entry) => entry.identity && go(`#/charge-points/${encodeURIComponent(entry.identity)}`),
  });
  signal.addEventListener("abort", () => grid.close());
  const inputs = FILTERS.map(([name, label, placeholder]) => {
    const input = h("input", { type: "search", value: filters[name], placeholder, spellcheck: "false", autocapitalize: "off", on: { input: debounced(250, () => filter(name, input.value.trim())) } });
    return field(label, input);
  });
  const since = h("input", { type: "date", value: filters.since, on: { change: () => filter("since", since.value) } });
  filters.since = since.value; // what is no day in the address is none in the field
  const place = h("div", { class: "fillbox auditbox" }, grid.container);
  fill(main, h("div", { class: "top" }, h("h1", {}, "Audit")), h("p", { class: "quiet lead" }, "What was done through the API, this console and the command line in the last 90 days."),
    h("div", { class: "filters auditfilters" }, inputs, field("Since", since)), place);
  stream.follow(null);
  offer({ "/": () => main.querySelector(".filters input").focus(), j: () => grid.move(1), k: () => grid.move(-1) }, signal);
  list.load(asked());

  // What is typed is looked for anywhere in the text, unless it says itself where.
  function asked() {
    const globs = FILTERS.map(([name]) => [name, filters[name] && !/[*?[]/.test(filters[name]) ? `*${filters[name]}*` : filters[name]]);
    return { ...Object.fromEntries(globs), since: filters.since && new Date(`${filters.since}T00:00`).toISOString() };
  }

  function filter(name, value) {
    filters[name] = value;
    const given = Object.entries(filters).filter(([, each]) => each);
    history.replaceState(null, "", given.length ? `#/audit?${new URLSearchParams(given)}` : "#/audit");
    grid.active = -1;
    grid.element.scrollTop = 0;
    list.load(asked());
  }

  function draw() {
    if (!grid.container.isConnected) fill(place, grid.container);
    const filtered = Object.values(filters).some(Boolean);
    grid.show(list.items, list.items.length + (list.hasMore ? 1 : 0), filtered ? "No entry fits these filters." : "Nothing was done yet.");
  }
}

function cells(entry) {
  return [
    time(entry.at),
    entry.identity ? h("a", { class: "identity", tabindex: -1, href: `#/charge-points/${encodeURIComponent(entry.identity)}` }, entry.identity) : h("span", { class: "quiet" }, "several"),
    entry.who, h("span", { class: "action" }, entry.what), h("span", { title: entry.detail }, entry.detail), h("span", { title: entry.outcome }, entry.outcome),
  ];
}
