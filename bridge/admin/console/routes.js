// The routes in their order, and the Charge Points that operators gave to another Central System.

import { get } from "./api.js";
import { debounced, fill, h } from "./dom.js";
import { offer } from "./keys.js";
import { badge, field, loaded } from "./parts.js";
import { stream } from "./stream.js";
import { tableOf } from "./table.js";
import { many, textOf } from "./words.js";

// Rows of moved Charge Points: a filter finds the others.
const MOST = 200;
const ROUTES = [{ name: "No.", class: "number tight" }, { name: "Identity" }, { name: "Central System" }, { name: "Charge Points", class: "number" }, { name: "Identity there" }, { name: "Tolerance" }, { name: "Takes" }, { name: "Quirks" }];
const MOVED = [{ name: "Charge Point", by: (one) => one.identity }, { name: "Central System", by: (one) => one.central_system }, { name: "In force", by: (one) => Number(one.in_force) }];

export function routes({ main, signal, title }) {
  title("Routes");
  const place = h("div", { class: "stack" });
  fill(main, h("div", { class: "top" }, h("h1", {}, "Routes")),
    h("p", { class: "quiet lead" }, "The first route whose pattern matches the identity decides. The configuration has them; SIGHUP reads it again."), place);
  stream.follow(null);
  loaded(place, signal, () => get("/routes", {}, signal), ({ items, moved }) => {
    const table = tableOf({ label: "Routes", columns: ROUTES, cells });
    table.show(items.map((route, at) => ({ ...route, at: at + 1 })), "No route is configured.");
    fill(place, table.element, movedOf(moved, signal));
  });
}

function cells(route) {
  const quirks = Object.entries(route.quirks);
  return [
    route.at, h("code", {}, route.charge_point), h("a", { href: `#/central-systems?${new URLSearchParams({ name: route.central_system })}` }, route.central_system),
    route.charge_points.toLocaleString("en"), route.central_system_identity ? h("code", {}, route.central_system_identity) : "the same",
    route.tolerance, route.accept === "listed" ? "listed ones only" : "all",
    quirks.length ? h("ul", { class: "settings" }, quirks.map(([name, value]) => h("li", {}, h("code", {}, `${name} = ${textOf(value)}`)))) : null,
  ];
}

function movedOf(moved, signal) {
  const search = h("input", { type: "search", placeholder: "part of an identity or a name", spellcheck: "false", autocapitalize: "off" });
  const table = tableOf({ label: "Moved Charge Points", columns: MOVED, sorted: { by: "Charge Point", descending: false }, cells: (one) => [
    h("a", { class: "identity", href: `#/charge-points/${encodeURIComponent(one.identity)}` }, one.identity), one.central_system,
    one.in_force ? badge({ kind: "up", word: "yes" }) : badge({ kind: "warning", word: "no: not configured any more" })] });
  const more = h("p", { class: "quiet", role: "status" });
  const draw = () => {
    const text = search.value.trim().toLowerCase();
    const found = moved.filter(({ identity, central_system: name }) => identity.toLowerCase().includes(text) || name.toLowerCase().includes(text));
    table.show(found.slice(0, MOST), text ? "No moved Charge Point fits the filter." : "None.");
    more.textContent = found.length > MOST ? `The first ${MOST} of ${many(found.length, "Charge Point")}; a filter finds the others.` : "";
  };
  search.addEventListener("input", debounced(150, draw));
  draw();
  offer({ "/": () => search.focus() }, signal);
  return [h("h2", {}, "Moved by operators ", h("span", { class: "quiet" }, moved.length.toLocaleString("en"))), moved.length ? h("div", { class: "filters" }, field("Filter", search, { class: "field wide" })) : null, table.element, more];
}
