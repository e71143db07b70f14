// The keys that work on every page, and the dialog that tells them.

import { button, h } from "./dom.js";

const KEYS = [
  ["j, ↓ / k, ↑", "next and previous row of a list"],
  ["Page ↑, Page ↓, Home, End", "further, in a list"],
  ["Enter", "open the active row"],
  ["/", "to the filter"],
  ["Esc", "close a dialog; leave a filter; back to where this page came from"],
  ["c", "send a command, on the page of a Charge Point"],
  ["p", "pause and resume live messages"],
  ["r", "raw or pretty, on the page of a message"],
  ["t", "light, dark, or as the system"],
  ["?", "this list"],
];

// A page offers its own keys while it is shown: {key: what it does}.
let own = {};
let going = false;
// The address of each page that a key leads to after g.
let goes = {};

export function offer(keys, signal) {
  own = keys;
  signal.addEventListener("abort", () => { if (own === keys) own = {}; });
}

// `pages` are those that a key leads to.
export function listen({ theme, go, pages }) {
  goes = Object.fromEntries(pages.map(({ key, address }) => [key, `#${address}`]));
  const dialog = help(pages);
  document.body.append(dialog);
  document.getElementById("help").addEventListener("click", () => dialog.showModal());
  const everywhere = { "?": () => dialog.showModal(), t: theme, g: () => { going = true; } };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (typing(event.target)) return void (event.key === "Escape" && event.target.blur());
    const action = chosen(event.key, everywhere, go);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function chosen(key, everywhere, go) {
  if (going) {
    going = false;
    return goes[key] && (() => go(goes[key]));
  }
  return own[key] ?? everywhere[key];
}

function typing(target) {
  return target.matches("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
}

function help(pages) {
  const goTo = pages.map(({ key, label }) => [`g ${key}`, label]);
  const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keys"),
    h("dl", {}, [...KEYS, ...goTo].map(([keys, does]) => [h("dt", {}, h("kbd", {}, keys)), h("dd", {}, does)])),
    h("p", { class: "quiet" }, "Times are this computer's; hover over one to see it in UTC."),
    h("div", { class: "buttons" }, button("Close", () => dialog.close(), { autofocus: true })));
  return closing(dialog);
}

// A click beside a dialog closes it, as Esc does.
export function closing(dialog) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  return dialog;
}

// True when confirmed. `body` is what the question is about; `label` names what is done; `read` gives what was chosen.
export function ask({ heading, body, label, danger = false, read = () => true }) {
  return new Promise((resolve) => {
    const confirm = button(label, () => { resolve(read()); dialog.close(); }, { class: danger ? "danger" : "primary" });
    const dialog = closing(h("dialog", { "aria-labelledby": "ask-title", on: { close: () => { resolve(false); dialog.remove(); } } },
      h("h2", { id: "ask-title" }, heading), body,
      h("div", { class: "buttons" }, button("Cancel", () => dialog.close(), { autofocus: true }), confirm)));
    document.body.append(dialog);
    dialog.showModal();
  });
}
