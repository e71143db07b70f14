// The shell: which page the address names, the stream's state, the theme, the keys that work everywhere.

import { takeToken, token } from "./api.js";
import { addresses } from "./addresses.js";
import { audit } from "./audit.js";
import { chargePoint } from "./charge-point.js";
import { chargePoints } from "./charge-points.js";
import { command } from "./command.js";
import { button, fill, h, icon, say } from "./dom.js";
import { listen } from "./keys.js";
import { login } from "./login.js";
import { message } from "./message.js";
import { messages } from "./messages.js";
import { move, moves } from "./moves.js";
import { readiness, readinessOf } from "./readiness.js";
import { stream } from "./stream.js";

// The first that matches; the groups are decoded and handed to the page.
const PAGES = [
  [/^\/$/, "charge-points", chargePoints],
  [/^\/charge-points\/([^/]+)$/, "charge-points", chargePoint],
  [/^\/charge-points\/([^/]+)\/command(?:\/([^/]+))?$/, "charge-points", command],
  [/^\/messages$/, "messages", messages],
  [/^\/messages\/([^/]+)$/, "messages", message],
  [/^\/moves$/, "moves", moves],
  [/^\/moves\/([^/]+)$/, "moves", move],
  [/^\/readiness$/, "readiness", readiness],
  [/^\/readiness\/([^/]+)$/, "readiness", readinessOf],
  [/^\/addresses$/, "addresses", addresses],
  [/^\/audit$/, "audit", audit],
  [/^\/login$/, "login", login],
];

let leave = new AbortController();
let shown = "";

function show() {
  takeToken();
  const [path, query = ""] = (location.hash.replace(/^#/, "") || "/").split("?");
  // The skip link and the like are no pages.
  if (!path.startsWith("/")) return;
  leave.abort();
  leave = new AbortController();
  const found = PAGES.map(([pattern, name, page]) => [pattern.exec(path), name, page]).find(([match]) => match);
  const main = document.getElementById("main");
  const [match, name, page] = found ?? [[], "", unknown];
  const parts = decoded(match.slice(1));
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.className = `page-${name}`;
  fill(main);
  const context = { main, signal: leave.signal, query: new URLSearchParams(query), title, go };
  if (parts) page(context, ...parts);
  else broken(context);
  if (shown && shown !== path) { scrollTo(0, 0); main.focus({ preventScroll: true }); }
  shown = path;
}

// The parts of an address as they are meant; null if one is not what a percent-encoded text can be.
function decoded(parts) {
  try {
    return parts.map((part) => part && decodeURIComponent(part));
  } catch {
    return null;
  }
}

function title(text) {
  document.title = text ? `${text} · ocpp-bridge` : "ocpp-bridge";
}

function go(hash) {
  location.hash = hash;
}

function unknown({ main, title }) {
  title("No such page");
  fill(main, h("h1", {}, "No such page"), h("p", {}, h("a", { href: "#/" }, "All Charge Points")));
}

function broken({ main, title }) {
  title("This address is broken");
  fill(main, h("h1", {}, "This address is broken"),
    h("p", {}, "Something is missing in ", h("code", {}, location.hash), ": a % in an address is followed by two hexadecimal digits, as in %20."),
    h("p", {}, h("a", { href: "#/" }, "All Charge Points")));
}

function tellLogout() {
  document.getElementById("logout").hidden = !token.get();
}

function logout() {
  token.drop();
  stream.stop();
  go("#/login");
  say("Logged out");
}

const STATES = {
  live: ["up", "Live"],
  regained: ["up", "Stream regained"],
  lost: ["warning", "Stream lost, trying again"],
  off: ["none", "Not live"],
};

function tellStream(state) {
  const [shape, words] = STATES[state];
  const place = document.getElementById("stream"), notice = document.getElementById("notice");
  fill(place, icon(shape), h("span", {}, words));
  place.dataset.state = state;
  notice.hidden = state !== "lost";
  if (state === "lost") {
    fill(notice, icon("warning"), h("span", {}, "No live events from the bridge. What you see may be old; it is asked again by itself."),
      button("Try now", () => stream.retryNow(), { class: "small" }));
  }
  if (state === "regained") setTimeout(() => stream.state === "live" && tellStream("live"), 4000);
}

const THEMES = { system: ["system", "As the system"], light: ["sun", "Light"], dark: ["moon", "Dark"] };

function tellTheme() {
  const [shape, words] = THEMES[window.bridgeTheme.get()];
  const place = document.getElementById("theme");
  fill(place, icon(shape));
  place.title = `Colours: ${words} (t)`;
  place.setAttribute("aria-label", `Colours: ${words}. Change`);
}

function nextTheme() {
  const all = Object.keys(THEMES);
  window.bridgeTheme.set(all[(all.indexOf(window.bridgeTheme.get()) + 1) % all.length]);
  tellTheme();
  say(`Colours: ${THEMES[window.bridgeTheme.get()][1]}`);
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
document.getElementById("theme").addEventListener("click", nextTheme);
document.getElementById("logout").addEventListener("click", logout);
window.addEventListener("token", tellLogout);
stream.addEventListener("status", (event) => tellStream(event.detail));
window.addEventListener("unauthorised", () => {
  if (location.hash.startsWith("#/login")) return;
  token.drop();
  stream.stop();
  go(`#/login?then=${encodeURIComponent(location.hash || "#/")}`);
});
window.addEventListener("hashchange", show);
listen({ theme: nextTheme, go });
tellTheme();
tellLogout();
tellStream("off");
show();
