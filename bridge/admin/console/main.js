// The shell: which page the address names, the stream's state, the theme, the keys that work everywhere.

import { call, headers, session, takeToken, token } from "./api.js";
import { button, fill, h, icon, say } from "./dom.js";
import { listen } from "./keys.js";
import { navigation, pageAt, PAGES } from "./pages.js";
import { stream } from "./stream.js";

let leave = new AbortController();
let shown = "";

function show() {
  takeToken();
  const [path, query = ""] = (location.hash.replace(/^#/, "") || "/").split("?");
  // The skip link and the like are no pages.
  if (!path.startsWith("/")) return;
  leave.abort();
  leave = new AbortController();
  const found = pageAt(path);
  const main = document.getElementById("main"), name = found?.page.name ?? "";
  const parts = decoded(found?.parts ?? []);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.className = `page-${name}`;
  fill(main);
  openMenu(false);
  const context = { main, signal: leave.signal, query: new URLSearchParams(query), title, go };
  if (parts) (found?.page.show ?? unknown)(context, ...parts);
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
  fill(main, h("h1", {}, "No such page"), h("p", {}, h("a", { href: "#/" }, "To the first page")));
}

function broken({ main, title }) {
  title("This address is broken");
  fill(main, h("h1", {}, "This address is broken"),
    h("p", {}, "Something is missing in ", h("code", {}, location.hash), ": a % in an address is followed by two hexadecimal digits, as in %20."),
    h("p", {}, h("a", { href: "#/" }, "To the first page")));
}

function drawNavigation() {
  fill(document.getElementById("pages"), navigation().map(([group, pages]) => {
    const links = h("ul", {}, pages.map(({ name, address, label, key }) => h("li", {}, h("a", { href: `#${address}`, data: { page: name }, title: key ? `g ${key}` : null }, label))));
    return group ? h("div", {}, h("h2", {}, group), links) : links;
  }));
}

// On a narrow window the navigation is behind a button.
function openMenu(open) {
  document.getElementById("menu").setAttribute("aria-expanded", String(open));
  document.body.classList.toggle("menu-open", open);
}

function tellLogout() {
  const who = document.getElementById("who"), name = token.get() ? "" : session.known?.name ?? "";
  document.getElementById("logout").hidden = !token.get() && !session.known;
  who.textContent = who.title = name;
  who.hidden = !name;
}

// Who may only read sees no button that changes anything (base.css), and is told so.
async function tellRole() {
  const known = token.get() || session.known, response = known ? await call("/about", { headers: headers(), cache: "no-store" }).catch(() => null) : null;
  const { role = "" } = response?.ok ? await response.json() : {};
  document.documentElement.dataset.role = role;
  document.getElementById("role").hidden = role !== "read";
}

async function logout() {
  token.drop();
  stream.stop();
  try {
    await session.end();
  } catch (error) {
    const notice = document.getElementById("notice");
    fill(notice, icon("warning"), h("span", {}, `You are not logged out: ${error.message}`));
    notice.hidden = false;
    return;
  }
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
document.getElementById("menu").addEventListener("click", () => {
  openMenu(!document.body.classList.contains("menu-open"));
  document.querySelector(".menu-open #pages a")?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !document.body.classList.contains("menu-open")) return;
  openMenu(false);
  document.getElementById("menu").focus();
});
document.getElementById("theme").addEventListener("click", nextTheme);
document.getElementById("logout").addEventListener("click", logout);
for (const changed of ["token", "session"]) {
  window.addEventListener(changed, tellLogout);
  window.addEventListener(changed, tellRole);
}
stream.addEventListener("status", (event) => tellStream(event.detail));
window.addEventListener("unauthorised", () => {
  if (location.hash.startsWith("#/login")) return;
  token.drop();
  session.drop();
  stream.stop();
  go(`#/login?then=${encodeURIComponent(location.hash || "#/")}`);
});
window.addEventListener("hashchange", show);
listen({ theme: nextTheme, go, pages: PAGES.filter(({ key }) => key) });
drawNavigation();
tellTheme();
tellLogout();
tellRole();
tellStream("off");
show();
if (!token.get()) session.load();
