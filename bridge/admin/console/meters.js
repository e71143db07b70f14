// The last meter values of one Charge Point as plots: one for each measurand of each connector, its phases as lines.

import { chargePoint, get } from "./api.js";
import { fill, h } from "./dom.js";
import { choice, field, loaded } from "./parts.js";
import { plot } from "./plot.js";

// The lines of one plot, and the plots that are shown.
const LINES = 4, PLOTS = 6;
const FIRST = ["Power.Active.Import", "Energy.Active.Import.Register", "SoC", "Current.Import", "Voltage"];
const WORDS = { "Energy.Active.Import.Register": "Energy since the first value", SoC: "State of charge" };

// {element, reload()}; the element is hidden while there are no values.
export function metersOf(identity, signal) {
  const place = h("div", { class: "plots" }), head = h("div", { class: "cardhead" });
  const element = h("section", { class: "card meters", hidden: true }, head, place);
  let leave = new AbortController(), known = [], connector = 0, shown = "";
  signal.addEventListener("abort", () => leave.abort());
  const draw = () => {
    leave.abort();
    leave = new AbortController();
    const connectors = [...new Set(known.map((each) => each.connector))];
    if (!connectors.includes(connector)) connector = connectors[0];
    const chosen = choice(connectors.map((each) => [String(each), each === 0 ? "0, all of it" : String(each)]), String(connector), (value) => { connector = Number(value); draw(); });
    fill(head, h("h2", {}, "Meter values"), connectors.length > 1 ? field("Connector", chosen, { class: "field inline" }) : h("span", { class: "quiet" }, `connector ${connector}`));
    const plots = plotsOf(known.filter((each) => each.connector === connector));
    fill(place, plots.map((each) => {
      const box = h("div", {});
      plot(box, { ...each, signal: leave.signal });
      return box;
    }));
  };
  const reload = async () => {
    await loaded(place, signal, () => get(chargePoint(identity, "/meter-values"), {}, signal), ({ series }) => {
      const text = JSON.stringify(series);
      if (text === shown) return;
      shown = text;
      known = series;
      element.hidden = !series.length;
      if (series.length) draw();
    });
  };
  return { element, reload };
}

// The plots of one connector: {title, times, series}, the most useful measurand first.
export function plotsOf(all) {
  const groups = new Map();
  for (const each of all) {
    const name = [each.measurand, each.unit, each.location].filter(Boolean).join(" ");
    groups.set(name, [...groups.get(name) ?? [], each]);
  }
  const place = (name) => FIRST.findIndex((known) => name.startsWith(known)) + 1 || FIRST.length + 1;
  return [...groups].sort(([one], [two]) => place(one) - place(two) || one.localeCompare(two)).slice(0, PLOTS).map(([, series]) => plotOf(series.slice(0, LINES)));
}

function plotOf(series) {
  const { measurand, unit, location } = series[0], isRegister = /^Energy\..*\.Register$/.test(measurand);
  const times = [...new Set(series.flatMap(({ points }) => points.map(([at]) => at)))].sort((one, two) => one - two);
  return {
    title: [WORDS[measurand] ?? measurand.replaceAll(".", " "), location && `at the ${location}`].filter(Boolean).join(" "),
    times,
    series: series.map(({ phase, points }) => {
      const values = new Map(points), first = isRegister ? points[0]?.[1] ?? 0 : 0;
      return { label: phase ?? (series.length > 1 ? "all phases" : "value"), unit, values: times.map((at) => (values.has(at) ? values.get(at) - first : null)) };
    }),
  };
}
