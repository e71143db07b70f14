// One message in three parts: what came in, the model, what went out; the request, then its answer.

import { get } from "./api.js";
import { compared } from "./compare.js";
import { button, copyButton, fill, h, icon } from "./dom.js";
import { offer } from "./keys.js";
import { badge, codeOf, facts, loaded, rawOf, time } from "./parts.js";
import { stream } from "./stream.js";
import { many, ms, octets, outcomeOf, partyOf } from "./words.js";

const MARKS = { changed: ["≠", "changed"], dropped: ["−", "left out"], added: ["+", "added"], loss: ["!", "loss"] };
// Rows of a table of differences.
const MOST_DIFFERENCES = 100;
const TRANSPORTS = { soap: "SOAP", json: "JSON" };

export function message({ main, signal, title, go }, id) {
  title("Message");
  const place = h("div", { class: "stack" });
  fill(main, place);
  let raw = false, item = null;
  const toggle = () => { raw = !raw; if (item) draw(); };
  const draw = () => {
    const held = place.contains(document.activeElement) && document.activeElement.classList.contains("rawtoggle");
    title(`${item.action || "Turned away"} ${item.identity}`);
    fill(place, head(item, raw, toggle), why(item), summary(item), half("Request", item.request, item, raw, item.from), half("Answer", item.response, item, raw, other(item.from)));
    if (held) place.querySelector(".rawtoggle").focus();
  };
  loaded(place, signal, () => get(`/messages/${encodeURIComponent(id)}`, {}, signal), (answer) => {
    item = answer;
    stream.follow(item.identity || null);
    draw();
  });
  offer({ r: toggle, Escape: () => go(item?.identity ? `#/charge-points/${encodeURIComponent(item.identity)}` : "#/messages") }, signal);
}

const other = (from) => (from === "charge_point" ? "central_system" : "charge_point");

function head(item, raw, toggle) {
  const identity = `#/charge-points/${encodeURIComponent(item.identity)}`;
  return h("div", { class: "top" },
    h("div", { class: "heading" }, item.identity ? h("a", { href: identity, class: "crumb identity" }, item.identity) : h("a", { href: "#/messages", class: "crumb" }, "Messages"), h("h1", {}, item.action || "Turned away"), badge(outcomeOf(item.outcome))),
    h("div", { class: "buttons" }, button(raw ? "Pretty" : "Raw", toggle, { class: "rawtoggle", "aria-pressed": String(raw), title: "As it stood on the wire, byte for byte (r)" })));
}

function why(item) {
  return item.why ? h("p", { class: "why card" }, icon("warning"), h("span", {}, item.why)) : null;
}

function summary(item) {
  const { before, beyond } = item.timings;
  return h("section", { class: "card wide", "aria-label": "Summary" }, facts(
    ["From", partyOf(item.from)], ["At", time(item.at)], ["In all", ms(item.ms)],
    ["Arrival to forwarding", before === null ? null : ms(before)], ["Forwarding to answer", beyond === null ? null : ms(beyond)],
    ["Unique id", item.unique_id && h("code", {}, item.unique_id)], ["Id on the other side", item.hop_id && h("code", {}, item.hop_id)]));
}

function half(heading, parts, item, raw, from) {
  if (!parts || (!parts.received && !parts.sent && (parts.model === null || parts.model === undefined))) {
    return h("section", { class: "half" }, h("h2", {}, heading), h("p", { class: "quiet" }, absence(heading, item)));
  }
  const mine = item.losses.filter((loss) => !loss.message || /response|conf/i.test(loss.message) === (heading === "Answer"));
  const read = compared(parts, mine), to = other(from);
  return h("section", { class: "half" }, h("h2", {}, heading), h("div", { class: "three" },
    panel(`Came in from the ${partyOf(from)}`, parts.received, read.received, read.differences, raw),
    h("div", { class: "arrow", "aria-hidden": "true" }, icon("right")),
    model(parts, read.model, read.differences),
    h("div", { class: "arrow", "aria-hidden": "true" }, icon("right")),
    panel(`Went out to the ${partyOf(from === "operator" ? "charge_point" : to)}`, parts.sent, read.sent, read.differences, raw)),
  table(heading, read, parts));
}

function panel(heading, form, read, differences, raw) {
  if (!form) return h("div", { class: "panel" }, h("header", {}, h("h3", {}, heading)), h("p", { class: "quiet nothing" }, "Nothing was written or read here."));
  const shown = raw || !read ? rawOf(heading, form.text) : code(heading, read, differences);
  const notes = [TRANSPORTS[form.transport] ?? form.transport, form.peer, octets(form.octets)].filter(Boolean).join(" · ");
  return h("div", { class: "panel" }, h("header", {}, h("h3", {}, heading), copyButton(form.text, heading.toLowerCase()), h("small", {}, notes)),
    form.base64 ? h("p", { class: "wrong" }, "Not UTF-8; bytes that cannot be read are shown as �. ", copyButton(form.base64, "bytes as base64")) : null, shown);
}

function model({ model: value, received }, read, differences) {
  const text = value === null || value === undefined ? "" : JSON.stringify(value, null, 2);
  return h("div", { class: "panel middle" }, h("header", {}, h("h3", {}, "The model"), text ? copyButton(text, "the model") : null, h("small", {}, "what the bridge understood")),
    read ? code("The model", read, differences) : text ? rawOf("The model", text) : h("p", { class: "quiet nothing" }, received ? "It was not understood as a message." : "Nothing came in to be understood."));
}

// Why a half of a message is empty.
function absence(heading, { outcome, why }) {
  if (heading !== "Answer") return "Not recorded.";
  const [, status] = /HTTP (\d{3})/.exec(why ?? "") ?? [];
  if (outcome === "refused") return status ? `The bridge answered with HTTP ${status}, which is not recorded.` : "The bridge refused it; what it answered is not recorded.";
  if (outcome === "relayed") return "It was passed on as it came, and nothing is known of an answer.";
  return "No answer came.";
}

function code(label, read, differences) {
  return codeOf(label, read.lines, (line) => {
    const found = line.path === null ? undefined : differences.get(line.path);
    if (!found) return null;
    const kind = found.loss ? "loss" : found.kind, [sign, word] = MARKS[kind];
    return { kind, sign, word, title: found.reason ? `${word}: ${found.reason}` : word };
  });
}

function table(heading, { differences, large }, parts) {
  if (!differences.size) {
    if (large) return h("p", { class: "quiet" }, "Too large to compare value by value.");
    return parts.received && parts.sent ? h("p", { class: "same" }, icon("up"), "Every value went through as it came.") : null;
  }
  const shown = (value) => (value === undefined ? h("span", { class: "quiet" }, "absent") : h("code", {}, value === "" ? "(empty)" : value));
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Differences of the ${heading.toLowerCase()}` }, h("table", { class: "differences" },
    h("caption", {}, many(differences.size, "difference"), differences.size > MOST_DIFFERENCES ? `, of which the first ${MOST_DIFFERENCES} are shown` : ""),
    h("thead", {}, h("tr", {}, ["", "Field", "Came in", "Went out", "Why"].map((name) => (name ? h("th", { scope: "col" }, name) : h("td", {}))))),
    h("tbody", {}, [...differences].slice(0, MOST_DIFFERENCES).map(([path, each]) => {
      const [sign, word] = MARKS[each.loss ? "loss" : each.kind];
      return h("tr", { class: each.loss ? "loss" : each.kind }, h("td", {}, h("span", { class: "sign", title: word }, sign), ` ${word}`),
        h("th", { scope: "row" }, h("code", {}, path.replace(/#(\d+)/g, "[$1]") || "(the whole message)")), h("td", {}, shown(each.was)), h("td", {}, shown(each.is)), h("td", {}, each.reason));
    }))));
}
