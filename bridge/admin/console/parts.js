// Small pieces that several pages show.

import { fill, h, icon } from "./dom.js";
import { LONGEST } from "./wire.js";
import { ago, clock, many } from "./words.js";

// A state is an icon and a word, never a colour alone.
export function badge({ kind, word }, properties = {}) {
  return h("span", { class: `badge ${kind}`, ...properties }, icon(kind), h("span", {}, word));
}

export function time(iso, relative = false) {
  if (!iso) return h("span", { class: "quiet" }, "never");
  const [shown, hover] = relative ? [ago(iso), `${clock(iso)} · ${iso}`] : [clock(iso), iso];
  return h("time", { datetime: iso, title: hover, class: relative ? "ago" : null }, shown);
}

// Relative times go on while a page is looked at.
export function ticking(root, signal) {
  const timer = setInterval(() => {
    for (const each of root.querySelectorAll("time.ago")) each.textContent = ago(each.dateTime);
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

// The path of a field, which is broken at its dots only.
export function fieldOf(path) {
  return h("code", { class: "path" }, path.split(".").map((part, at) => (at ? [".", h("wbr"), part] : part)));
}

// Names and values, a value of null left out.
export function facts(...pairs) {
  return h("dl", { class: "facts" }, pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

export function section(heading, ...children) {
  return h("section", { class: "card" }, h("h2", {}, heading), children);
}

export function trouble(error, again) {
  return h("div", { class: "trouble", role: "alert" }, icon("down"),
    h("div", {}, h("strong", {}, error.title ?? "Something went wrong"),
      error.message === error.title ? null : h("p", {}, error.message)),
    again ? h("button", { type: "button", on: { click: again } }, "Try again") : null);
}

// What `load` gives, drawn by `draw`; what went wrong instead, with a way to try again.
export async function loaded(place, signal, load, draw) {
  try {
    const answer = await load();
    if (!signal.aborted) draw(answer);
    return true;
  } catch (error) {
    if (signal.aborted || error.name === "AbortError" || error.status === 401) return false;
    if (error.status === undefined) throw error;
    fill(place, trouble(error, () => loaded(place, signal, load, draw)));
    return false;
  }
}

let fields = 0;

export function field(label, control, properties = {}) {
  control.id ||= `control-${++fields}`;
  return h("div", { class: "field", ...properties }, h("label", { for: control.id }, label), control);
}

export function choice(options, value, listener, properties = {}) {
  const select = h("select", { on: { change: () => listener(select.value) }, ...properties },
    options.map(([key, text]) => h("option", { value: key }, text)));
  select.value = value;
  return select;
}

// A text as it came, from its beginning.
export function rawOf(label, text) {
  const pre = h("pre", { class: "raw", tabindex: 0, role: "group", "aria-label": label }, text.slice(0, LONGEST));
  if (text.length <= LONGEST) return pre;
  return [h("p", { class: "quiet" }, `The first ${LONGEST.toLocaleString("en")} of ${many(text.length, "character")}; Copy has all of them.`), pre];
}

// Of a longer text the beginning is shown: each line is some elements, and a browser takes its time for each.
const MOST_LINES = 500;

// Lines as `parsed` gives them; `marked` gives {kind, sign, word, title} for one that is to stand out.
export function codeOf(label, lines, marked = () => null) {
  const more = lines.length - MOST_LINES;
  const pre = h("pre", { class: "code", tabindex: 0, "aria-label": label, role: "group" }, lines.slice(0, MOST_LINES).map((line) => {
    const mark = marked(line);
    const element = h("span", { class: mark ? `line mark ${mark.kind}` : "line", title: mark?.title },
      mark ? h("span", { class: "sign", "aria-hidden": "true" }, mark.sign) : null,
      line.parts.map(([kind, part]) => (part ? h("span", { class: kind }, part) : null)), mark ? h("span", { class: "hidden" }, ` (${mark.word})`) : null, "\n");
    element.style.setProperty("--depth", line.depth);
    return element;
  }));
  return more > 0 ? [pre, h("p", { class: "quiet" }, `And ${more.toLocaleString("en")} more lines: see Raw.`)] : pre;
}
