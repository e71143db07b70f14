// Numbers over time as lines (uPlot, on a canvas), and the same numbers as text: beside each label, minute by minute with
// the arrow keys, and as a table. Without uPlot, which is fetched when the first plot is shown, the text is still there.

import { fill, h } from "./dom.js";

// One style for each series, in their order; plot.css has the colours. A dash as well: colour alone tells nobody.
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
const HEIGHT = 148;
// Seconds between two labels of the axis of time.
const MINUTES = [60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];

let library = null;

// title   of the plot
// times   unix seconds, one for each value, ascending
// series  [{label, values, unit}]; a value of null is a gap
// signal  ends the plot
// Gives an object with `update({times, series})` for new numbers.
export function plot(element, { title, times, series, signal }) {
  const made = new Plot(element, title, series, signal);
  made.update({ times, series });
  return made;
}

class Plot {
  #times = []; #series = []; #at = null; #drawn = null; #box; #legend; #when; #table; #details; #swatches;

  constructor(element, title, series, signal) {
    this.title = title;
    this.#swatches = series.map((_, at) => h("span", { class: `swatch series-${at}`, "aria-hidden": "true" }));
    this.#when = h("span", { class: "when" });
    this.#legend = h("div", { class: "legend" });
    this.#box = h("div", {
      class: "lines", role: "slider", tabindex: 0, "aria-label": `${title}, minute by minute`, "aria-valuemin": 0,
      on: { keydown: (event) => this.#key(event), blur: () => this.#look(null) },
    });
    this.#table = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `${title} as a table` });
    this.#details = h("details", { on: { toggle: () => this.#tabulate() } }, h("summary", {}, "As a table"), this.#table);
    fill(element, h("figure", { class: "plot" }, h("figcaption", {}, h("h3", {}, title), this.#when, this.#legend), this.#box, this.#details));
    this.#begin(signal);
  }

  update({ times, series }) {
    this.#times = times;
    this.#series = series;
    if (this.#at >= times.length) this.#at = null;
    this.#box.setAttribute("aria-valuemax", Math.max(0, times.length - 1));
    this.#drawn?.setData(this.#data());
    this.#tell();
    this.#tabulate();
  }

  async #begin(signal) {
    const uPlot = await (library ??= loadLibrary());
    if (!uPlot || signal.aborted) return;
    this.#drawn = new uPlot(this.#options(), this.#data(), this.#box);
    const redraw = () => this.#drawn.redraw();
    const sized = new ResizeObserver(() => this.#drawn.setSize({ width: this.#box.clientWidth, height: HEIGHT }));
    const themed = new MutationObserver(redraw);
    sized.observe(this.#box);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw, { signal });
    signal.addEventListener("abort", () => {
      sized.disconnect();
      themed.disconnect();
      this.#drawn.destroy();
    });
  }

  #data() {
    return [this.#times, ...this.#series.map(({ values }) => values)];
  }

  #options() {
    const ink = (at) => getComputedStyle(this.#swatches[at]).color;
    const soft = () => getComputedStyle(this.#when).color;
    const rule = () => getComputedStyle(this.#box).borderBottomColor;
    const font = `12px ${getComputedStyle(this.#box).fontFamily}`;
    const axis = { stroke: soft, font, grid: { stroke: rule, width: 1 }, ticks: { show: false } };
    return {
      width: this.#box.clientWidth, height: HEIGHT, legend: { show: false }, padding: [8, 16, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { y: { range: (_, least, most) => [0, Math.max(1, (most ?? 0) * 1.08)] } },
      axes: [
        { ...axis, grid: { show: false }, space: 64, incrs: MINUTES, size: 26, gap: 6, values: (_, splits) => splits.map(clockOf) },
        { ...axis, space: 26, size: 50, gap: 6, values: (_, splits) => splits.map((value) => shortOf(value)) },
      ],
      series: [{}, ...this.#series.map((_, at) => ({
        stroke: () => ink(at), width: 1.6, dash: DASHES[at], points: { size: 4 },
        fill: at === 0 ? () => ink(at).replace(/^rgb\((.*)\)$/, "rgba($1, 0.13)") : undefined,
      }))],
      hooks: { setCursor: [({ cursor }) => { this.#at = cursor.idx ?? null; this.#tell(); }] },
    };
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#times.length) return;
    const last = this.#times.length - 1;
    if (event.key in STEPS) this.#look(Math.min(last, Math.max(0, (this.#at ?? last) + STEPS[event.key])));
    else if (event.key === "Escape" && this.#at !== null) this.#look(null);
    else return;
    event.preventDefault();
  }

  // Put the cursor at the value `at`, or nowhere.
  #look(at) {
    this.#at = at;
    this.#drawn?.setCursor({ left: at === null ? -10 : this.#drawn.valToPos(this.#times[at], "x"), top: at === null ? -10 : 0 }, false);
    this.#tell();
  }

  // The values at the cursor, or the newest.
  #tell() {
    const at = this.#at ?? this.#times.length - 1, when = this.#at === null ? "" : clockOf(this.#times[at]);
    const texts = this.#series.map(({ values, unit }) => written(values[at], unit));
    this.#when.textContent = when;
    fill(this.#legend, this.#series.map(({ label }, each) => h("span", { class: "item" }, this.#swatches[each], h("span", {}, label), h("b", {}, texts[each]))));
    this.#box.setAttribute("aria-valuenow", Math.max(0, at));
    this.#box.setAttribute("aria-valuetext", `${when || "now"}: ${this.#series.map(({ label }, each) => `${label} ${texts[each]}`).join(", ")}`);
  }

  #tabulate() {
    if (!this.#details.open) return;
    const rows = this.#times.map((at, index) => h("tr", {}, h("th", { scope: "row" }, clockOf(at)), this.#series.map(({ values, unit }) => h("td", {}, written(values[index], unit)))));
    fill(this.#table, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Time"), this.#series.map(({ label }) => h("th", { scope: "col" }, label)))), h("tbody", {}, rows.reverse())));
  }
}

// Null if it cannot be had: the bridge may be gone.
async function loadLibrary() {
  try {
    return (await import("./uplot/uPlot.esm.js")).default;
  } catch {
    library = null;
    return null;
  }
}

export function clockOf(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function shortOf(value) {
  return value >= 10_000 ? `${value / 1000}k` : String(value);
}

function written(value, unit) {
  if (value === null || value === undefined) return "–";
  const number = Number(value) >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : Number(value).toFixed(1);
  return unit ? `${number} ${unit}` : number;
}
