// Elements from data. Text is only ever set as text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

// `properties`: `class`, `on: {event: listener}`, `data: {name: value}`; anything else is an attribute, and is left
// out when null, undefined or false. `children`: nodes, texts, arrays of them; null and false are left out.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "class") element.className = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

export function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

const SHAPES = {
  up: "M5 12.5l4.5 4.5L19 7.5",
  down: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  stale: "M12 7v5.2l3.4 2M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
  unlinked: "M3.5 12h6M14.5 12h6M9.5 8v8M14.5 8v8",
  unseen: "M6 12h12",
  warning: "M12 4L2.8 19.5h18.4zM12 10v4.4M12 17v.2",
  moving: "M4 12h15M13.5 6.5L19 12l-5.5 5.5",
  right: "M4 12h15M13.5 6.5L19 12l-5.5 5.5",
  left: "M20 12H5M10.5 6.5L5 12l5.5 5.5",
  ascending: "M12 19V5.5M6.5 11L12 5.5l5.5 5.5",
  descending: "M12 5v13.5M6.5 13l5.5 5.5 5.5-5.5",
  copy: "M9 9h10v11H9zM5 15V4h10",
  none: "M6 12h12",
  loss: "M5 5l14 14M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  moon: "M19.5 14.5A8 8 0 1 1 9.5 4.5a6.5 6.5 0 0 0 10 10z",
  system: "M3.5 5h17v11h-17zM9 20h6M12 16v4",
  pause: "M8.5 5.5v13M15.5 5.5v13",
  play: "M8 5.5l10 6.5-10 6.5z",
  stop: "M7 7h10v10H7z",
  boot: "M12 3.5v8M7.5 6.5a7.5 7.5 0 1 0 9 0",
  point: "M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name] ?? SHAPES.none);
  svg.append(path);
  return svg;
}

export function button(label, listener, properties = {}) {
  return h("button", { type: "button", on: { click: listener }, ...properties }, label);
}

// Said to whoever does not see it happen.
export function say(text) {
  document.getElementById("said").textContent = text;
}

export function copyButton(text, what) {
  const label = h("span", {}, "Copy");
  return button([icon("copy"), label], async () => {
    await copied(typeof text === "function" ? text() : text);
    label.textContent = "Copied";
    say(`${what} copied`);
    setTimeout(() => { label.textContent = "Copy"; }, 1600);
  }, { class: "small", "aria-label": `Copy ${what}` });
}

// The clipboard is only there over HTTPS and on loopback; a console reached over plain HTTP has the older way.
async function copied(text) {
  if (navigator.clipboard) {
    try { return await navigator.clipboard.writeText(text); } catch { /* not allowed here: the older way */ }
  }
  const area = h("textarea", { class: "hidden", value: text, "aria-hidden": "true" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  return area.remove();
}

export function debounced(wait, work) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}

// At most once in `wait` milliseconds, and once more for what came meanwhile.
export function throttled(wait, work) {
  let timer = 0;
  return () => {
    if (!timer) timer = setTimeout(() => { timer = 0; work(); }, wait);
  };
}
