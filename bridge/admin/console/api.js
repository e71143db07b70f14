// The admin API: one function per verb. Answers are data; what went wrong is a Problem.

const TOKEN = "ocpp-bridge.token";

export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (text) => { sessionStorage.setItem(TOKEN, text); window.dispatchEvent(new CustomEvent("token")); },
  drop: () => { sessionStorage.removeItem(TOKEN); window.dispatchEvent(new CustomEvent("token")); },
};

// Who has signed in at the provider: {name, role, csrf, ...}, null for nobody. A cookie that no script can read shows
// the session to the bridge; `csrf` goes with every change.
export const session = {
  known: null,
  async load() {
    let answer;
    try { answer = await fetch("/api/v1/session", { cache: "no-store" }); } catch { return this.known; }
    this.is(answer.ok ? await answer.json() : null);
    return this.known;
  },
  is(known) { this.known = known; window.dispatchEvent(new CustomEvent("session")); },
  drop() { this.is(null); },
  async end() {
    if (!await this.load()) return;
    await remove("/session");
    this.drop();
  },
};

// The token of an address that the bridge printed (#token=...), which this takes out of the address and the history.
export function takeToken() {
  const [, given] = /^#token=(.+)$/.exec(location.hash) ?? [];
  if (given === undefined) return;
  let text = given;
  try { text = decodeURIComponent(given); } catch { /* it was not encoded */ }
  token.set(text);
  history.replaceState(null, "", "#/");
}

export function headers(more = {}) {
  const known = token.get();
  return known ? { Authorization: `Bearer ${known}`, ...more } : more;
}

// The tenant that is shown: that of the address (?tenant=), else that of the token, which a refusal names.
let tenant = new URLSearchParams(location.search).get("tenant") ?? "";

// The paths that are of no tenant.
const WITHOUT_TENANT = new Set(["/session"]);

// Ask the API for `path`, of the tenant that is shown.
export async function call(path, options) {
  const of = () => tenant && !WITHOUT_TENANT.has(path) ? `/tenants/${encodeURIComponent(tenant)}` : "";
  const send = () => fetch(`/api/v1${of()}${path}`, options);
  const asked = tenant;
  const response = await send();
  const own = response.headers.get("OCPP-Bridge-Tenant");
  if (response.status !== 403 || own === null || own === asked) return response;
  tenant = own;
  return send();
}

export async function get(path, parameters = {}, signal = undefined) {
  return asked("GET", path + queryOf(parameters), undefined, signal);
}

// The answer as it is, for what is no JSON.
export async function fetched(path, parameters = {}) {
  const response = await answered("GET", path + queryOf(parameters), {}, undefined);
  if (!response.ok) await read(response);
  return response;
}

export const post = (path, body) => asked("POST", path, body);
export const put = (path, body) => asked("PUT", path, body);
export const remove = (path) => asked("DELETE", path);

export const chargePoint = (identity, rest = "") => `/charge-points/${encodeURIComponent(identity)}${rest}`;

function queryOf(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function asked(method, path, body, signal) {
  const more = body === undefined ? {} : { "Content-Type": "application/json" };
  // Asked each time: somebody may have signed in again in another tab.
  if (method !== "GET" && !token.get() && await session.load()) more["X-CSRF-Token"] = session.known.csrf;
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  return read(await answered(method, path, { headers: headers(more), ...sent }, signal));
}

async function answered(method, path, sent, signal) {
  try {
    return await call(path, { method, headers: headers(), cache: "no-store", signal, ...sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The bridge does not answer", "The bridge does not answer. Is it running?");
  }
}

export async function read(response) {
  const text = await response.text();
  if (response.ok) return text ? JSON.parse(text) : null;
  let problem = {};
  try { problem = JSON.parse(text); } catch { /* not one of ours: its status has to do */ }
  if (response.status === 401) window.dispatchEvent(new CustomEvent("unauthorised"));
  const title = problem.title ?? `HTTP ${response.status}`;
  throw Object.assign(new Problem(response.status, title, problem.detail ?? title), { body: problem });
}
