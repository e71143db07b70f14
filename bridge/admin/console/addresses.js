// The exact URLs to type into a Charge Point, and those a Central System is given.

import { get } from "./api.js";
import { copyButton, debounced, fill, h } from "./dom.js";
import { offer } from "./keys.js";
import { field, loaded, section } from "./parts.js";
import { stream } from "./stream.js";

const HEADINGS = [
  ["soap", "SOAP Charge Points (OCPP-S 1.6, 1.5, 1.2)", "One address for all of them: the Charge Point says who it is in every message (chargeBoxIdentity)."],
  ["json", "JSON Charge Points (OCPP-J 1.6)", "The identity is the last part of the address. Some Charge Points append it themselves: then leave it off."],
  ["central_systems_to_bridge", "SOAP Central Systems, for their commands", "Where a Central System that speaks SOAP sends what a Charge Point is to do."],
];

export function addresses({ main, signal, query, title }) {
  title("Addresses");
  const identity = h("input", { type: "search", value: query.get("identity") ?? "", placeholder: "as typed into the Charge Point", spellcheck: "false", autocapitalize: "off" });
  const lists = h("div", { class: "stack" });
  fill(main, h("div", { class: "top" }, h("h1", {}, "Addresses")),
    h("p", { class: "quiet lead" }, "What to type into a Charge Point so that it talks to this bridge in place of its Central System."),
    h("div", { class: "filters" }, field("Identity of the Charge Point", identity)), lists);
  stream.follow(null);
  offer({ "/": () => identity.focus() }, signal);
  loaded(lists, signal, () => get("/addresses", {}, signal), (answer) => {
    const draw = () => {
      fill(lists, HEADINGS.map(([key, heading, note]) => listed(heading, note, answer[key] ?? [], identity.value.trim())));
    };
    identity.addEventListener("input", debounced(150, () => {
      const wanted = identity.value.trim();
      history.replaceState(null, "", wanted ? `#/addresses?identity=${encodeURIComponent(wanted)}` : "#/addresses");
      draw();
    }));
    draw();
  });
}

function listed(heading, note, urls, identity) {
  const all = urls.map((each) => url(typeof each === "string" ? each : each.url, identity));
  return section(heading, h("p", { class: "quiet" }, note),
    all.length ? h("ul", { class: "urls" }, all.map(urlLine)) : h("p", {}, "This bridge does not listen for them."));
}

export function urlLine(text) {
  return h("li", {}, h("code", { class: "url" }, text), copyButton(text, `address ${text}`));
}

// An address names the place of the identity in braces.
function url(template, identity) {
  return identity ? template.replace(/\{[^}]*\}/g, encodeURIComponent(identity)) : template;
}
