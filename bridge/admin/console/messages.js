// The messages of all Charge Points, those that were turned away included.

import { fill, h } from "./dom.js";
import { offer } from "./keys.js";
import { MESSAGE_FILTERS, MessageList } from "./message-list.js";
import { stream } from "./stream.js";

export function messages({ main, signal, query, title, go }) {
  title("Messages");
  const filters = Object.fromEntries(MESSAGE_FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const list = new MessageList({ identity: null, signal, filters, go, remember: kept });
  stream.follow(null);
  fill(main, h("div", { class: "top" }, h("h1", {}, "Messages")), list.element);
  list.reload();
  offer({ "/": () => list.first.focus(), j: () => list.grid.move(1), k: () => list.grid.move(-1), p: () => list.pause(!list.paused) }, signal);
}

function kept(filters) {
  const given = Object.entries(filters).filter(([, value]) => value);
  history.replaceState(null, "", given.length ? `#/messages?${new URLSearchParams(given)}` : "#/messages");
}
