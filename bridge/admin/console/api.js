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

// Ask the API for `path`, of the tenant that is shown.
export async function call(path, options) {
  const send = () => fetch(`/api/v1${tenant && `/tenants/${encodeURIComponent(tenant)}`}${path}`, options);
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

export const post = (path, body) => asked("POST", path, body);
export const put = (path, body) => asked("PUT", path, body);
export const remove = (path) => asked("DELETE", path);

export const chargePoint = (identity, rest = "") => `/charge-points/${encodeURIComponent(identity)}${rest}`;

function queryOf(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

async function asked(method, path, body, signal) {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: headers({ "Content-Type": "application/json" }) };
  let response;
  try {
    response = await call(path, { method, headers: headers(), cache: "no-store", signal, ...sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The bridge does not answer", "The bridge does not answer. Is it running?");
  }
  return read(response);
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
