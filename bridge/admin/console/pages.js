// Every page: one line each, in the order of the navigation.

import { addresses } from "./addresses.js";
import { audit } from "./audit.js";
import { bulkCommand, bulkMove } from "./bulk.js";
import { centralSystems } from "./central-systems.js";
import { chargePoint } from "./charge-point.js";
import { chargePoints } from "./charge-points.js";
import { command } from "./command.js";
import { login } from "./login.js";
import { losses } from "./losses.js";
import { message } from "./message.js";
import { messages } from "./messages.js";
import { move, moves } from "./moves.js";
import { observers } from "./observers.js";
import { overview } from "./overview.js";
import { quirks } from "./quirks.js";
import { readiness, readinessOf } from "./readiness.js";
import { routes } from "./routes.js";
import { transactions } from "./transactions.js";

// The headings of the navigation.
const FLEET = "Fleet", ROUTING = "Routing", BRIDGE = "Bridge";

// name     of the page, which is the class of its style; pages below another one have the name of that
// address  behind the #; `:` stands for a part of any text, which is given to the page, and `?` for one that may be missing
// show     shows the page: (context, ...parts)
// label    in the navigation; a page without one is reached from another page
// group    its heading in the navigation
// key      leads to the page after g
export const PAGES = [
  { name: "overview", address: "/", show: overview, label: "Overview", key: "h" },
  { name: "charge-points", address: "/charge-points", show: chargePoints, label: "Charge Points", group: FLEET, key: "c" },
  { name: "charge-points", address: "/charge-points/:", show: chargePoint },
  { name: "charge-points", address: "/charge-points/:/command/?", show: command },
  { name: "charge-points", address: "/bulk/command", show: bulkCommand },
  { name: "charge-points", address: "/bulk/move", show: bulkMove },
  { name: "transactions", address: "/transactions", show: transactions, label: "Transactions", group: FLEET, key: "t" },
  { name: "messages", address: "/messages", show: messages, label: "Messages", group: FLEET, key: "m" },
  { name: "messages", address: "/messages/:", show: message },
  { name: "central-systems", address: "/central-systems", show: centralSystems, label: "Central Systems", group: ROUTING, key: "s" },
  { name: "routes", address: "/routes", show: routes, label: "Routes", group: ROUTING, key: "r" },
  { name: "moves", address: "/moves", show: moves, label: "Moves", group: ROUTING, key: "o" },
  { name: "moves", address: "/moves/:", show: move },
  { name: "observers", address: "/observers", show: observers, label: "Observers", group: ROUTING, key: "f" },
  { name: "readiness", address: "/readiness", show: readiness, label: "Readiness", group: ROUTING, key: "e" },
  { name: "readiness", address: "/readiness/:", show: readinessOf },
  { name: "losses", address: "/losses", show: losses, label: "Losses", group: BRIDGE, key: "l" },
  { name: "quirks", address: "/quirks", show: quirks, label: "Quirk packs", group: BRIDGE, key: "q" },
  { name: "addresses", address: "/addresses", show: addresses, label: "Addresses", group: BRIDGE, key: "a" },
  { name: "audit", address: "/audit", show: audit, label: "Audit", group: BRIDGE, key: "u" },
  { name: "login", address: "/login", show: login },
].map((page) => ({ ...page, pattern: patternOf(page.address) }));

// The pages with a place in the navigation, by group, in their order.
export function navigation() {
  const groups = new Map();
  for (const page of PAGES.filter(({ label }) => label)) groups.set(page.group ?? "", [...groups.get(page.group ?? "") ?? [], page]);
  return [...groups];
}

// The page at `path`, and the parts of the address that belong to it; nothing if there is no such page.
export function pageAt(path) {
  for (const page of PAGES) {
    const match = page.pattern.exec(path);
    if (match) return { page, parts: match.slice(1) };
  }
  return null;
}

function patternOf(address) {
  const parts = address.split("/").slice(1).map((part) => ({ ":": "/([^/]+)", "?": "(?:/([^/]+))?" })[part] ?? `/${part}`);
  return new RegExp(`^${parts.join("")}$`);
}
