// How times, numbers and states are written. Pure: data in, text out.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

// "12 s", "3 min", "2 h 5 min": the two largest units from an hour on.
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 1) return "0 s";
  const first = UNITS.findIndex(([size]) => whole >= size);
  const [size, unit] = UNITS[first];
  const count = Math.floor(whole / size);
  if (size < 3600) return `${count} ${unit}`;
  const [below, belowUnit] = UNITS[first + 1];
  const rest = Math.floor((whole - count * size) / below);
  return rest ? `${count} ${unit} ${rest} ${belowUnit}` : `${count} ${unit}`;
}

export function ago(iso, now = Date.now()) {
  if (!iso) return "never";
  const seconds = (now - Date.parse(iso)) / 1000;
  return seconds < 1.5 ? "now" : `${span(seconds)} ago`;
}

const pad = (number, width = 2) => String(number).padStart(width, "0");

// Local, to the millisecond; with the day when it is not today's.
export function clock(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return String(iso ?? "");
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.05) return "< 0.1 ms";
  if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
  return value < 10 ? `${Number(value).toFixed(1)} ms` : `${Math.round(value)} ms`;
}

// Wh as they are written for people.
export function energy(wh) {
  if (wh === null || wh === undefined) return "–";
  return wh < 1000 ? `${Math.round(wh)} Wh` : `${(wh / 1000).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })} kWh`;
}

export function octets(count) {
  return count === 1 ? "1 byte" : `${count.toLocaleString("en")} bytes`;
}

export function many(count, one, more = `${one}s`) {
  return `${Number(count).toLocaleString("en")} ${count === 1 ? one : more}`;
}

const TRANSPORTS = { soap: "SOAP", json: "JSON" };

export function transport(link) {
  if (!link?.transport) return "–";
  return `${TRANSPORTS[link.transport] ?? link.transport} ${link.version ?? ""}`.trim();
}

// The states of a Charge Point, which the bridge decides: how each is drawn, and the words for it.
export const STATES = {
  up: { kind: "up", word: "Up" },
  no_central_system: { kind: "unlinked", word: "No Central System" },
  stale: { kind: "stale", word: "Stale" },
  down: { kind: "down", word: "Down" },
  never_seen: { kind: "unseen", word: "Never seen" },
};

export function stateOf(summary) {
  return STATES[summary.state] ?? { kind: "down", word: String(summary.state) };
}

// The link to the Charge Point. A SOAP Charge Point has none: the bridge knows an address to call it back at, or not.
export function nearState(link) {
  if (!link) return STATES.never_seen;
  return link.transport === "soap" && link.state === "down" ? { kind: "down", word: "No callback" } : linkState(link);
}

function linkState(link) {
  return link?.state === "up" ? STATES.up : STATES.down;
}

// A link to the Central System that was never tried in vain is not open because the Charge Point is not there.
export function farState(link) {
  return link && link.state !== "up" && !link.failures ? { kind: "none", word: "Not connected" } : linkState(link);
}

// How the states of a move and of its Charge Points are drawn.
export const MOVES = {
  running: "moving", rolling_back: "moving", paused: "stale", stopped: "down", done: "up", rolled_back: "none",
  queued: "none", waits_for_idle: "stale", moving: "moving", failed: "down",
};

const PROTOCOLS = { "ocpp1.6j": "OCPP-J 1.6", "ocpp1.6s": "OCPP-S 1.6", "ocpp1.5s": "OCPP-S 1.5", "ocpp1.2s": "OCPP-S 1.2" };

export function protocol(name) {
  return PROTOCOLS[name] ?? name;
}

export function outcomeOf(outcome) {
  if (outcome === "result") return { kind: "up", word: "result" };
  if (outcome === "error" || outcome === "unanswered") return { kind: "down", word: outcome };
  return { kind: "warning", word: outcome ?? "–" };
}

const PARTIES = { charge_point: "Charge Point", central_system: "Central System", operator: "operator" };

export function partyOf(from) {
  return PARTIES[from] ?? from;
}

// A text, or what an object says of itself.
export function textOf(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  const known = [value.code, value.description ?? value.message ?? value.reason ?? value.text].filter(Boolean);
  return known.length ? known.join(": ") : JSON.stringify(value);
}
