// The quirk packs of the configuration: what each is for, what it sets, and how many Charge Points it is in force for.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { facts, loaded } from "./parts.js";
import { stream } from "./stream.js";
import { many, textOf } from "./words.js";

export function quirks({ main, signal, title }) {
  title("Quirk packs");
  const place = h("div", { class: "stack" });
  fill(main, h("div", { class: "top" }, h("h1", {}, "Quirk packs")),
    h("p", { class: "quiet lead" }, "Settings for kinds of Charge Points, which are recognised by their BootNotification. Where two set the same, the first one here decides; what a route sets goes before all of them."), place);
  stream.follow(null);
  loaded(place, signal, () => get("/quirks", {}, signal), ({ items }) => {
    fill(place, items.length ? h("ol", { class: "packs" }, items.map(pack)) : h("p", { class: "card empty" }, "No quirk pack is configured: ", h("code", {}, "gateway.quirks"), " names their files."));
  });
}

function pack({ match, settings, evidence, charge_points: count, identity }) {
  const { vendor, model, firmware } = match, named = [["Vendor", vendor], ["Model", model], ["Firmware", firmware]].filter(([, glob]) => glob !== "*");
  return h("li", { class: "card" },
    h("div", { class: "top" }, h("h2", {}, named.map(([name, glob], at) => [at ? ", " : "", `${name} `, h("code", {}, glob)])), h("span", { class: count ? "inforce" : "quiet" }, count ? `In force for ${many(count, "Charge Point")}` : "No Charge Point matches")),
    facts(["Sets", h("ul", { class: "settings" }, Object.entries(settings).map(([name, value]) => h("li", {}, h("code", {}, `${name} = ${textOf(value)}`))))],
      ["Known from", evidence], ["One of them", identity && h("a", { class: "identity", href: `#/charge-points/${encodeURIComponent(identity)}` }, identity)]));
}
