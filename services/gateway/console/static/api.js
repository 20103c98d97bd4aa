// The public API, asked with the session's cookie. The token in it is nothing that a script could read.

const HEADERS = { "X-Remit-Console": "1", Accept: "application/json" };

/** What the gateway answers when it does not do what was asked; `code` and `status` as in its problems. */
export class Refused extends Error {
  constructor({ status, code, detail, errors, request_id: requestId, transfer_id: transferId, reasons }, retryAfter) {
    super(detail || code);
    Object.assign(this, { status, code, errors: errors ?? [], requestId, retryAfter, transferId, reasons: reasons ?? [] });
  }
}

const UNREACHABLE = { status: 0, code: "unreachable", detail: "The gateway does not answer." };
const ended = new EventTarget();

/** Calls `listener` when the session is found to have ended. */
export function onSessionEnd(listener) {
  ended.addEventListener("end", listener);
}

async function refusal(response) {
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = { status: response.status, code: "no_problem", detail: `The gateway answered ${response.status}.` };
  }
  return new Refused(problem, Number(response.headers.get("Retry-After")) || null);
}

/** The response to one request under `/api/v1`; whatever is no success is thrown as `Refused`. */
export async function ask(method, path, { query, body, headers, signal, keepsSession = false } = {}) {
  const address = new URL(`/api/v1${path}`, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") address.searchParams.set(name, value);
  }
  const sent = { ...HEADERS, ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address, {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(UNREACHABLE, null);
  }
  if (response.ok) return response;
  if (response.status === 401 && !keepsSession) ended.dispatchEvent(new Event("end"));
  throw await refusal(response);
}

/** The body of a GET. */
export async function get(path, query, signal) {
  return (await ask("GET", path, { query, signal })).json();
}

const SESSION = "/auth/session";

/** Who is logged in, or null. */
export async function session() {
  const response = await ask("GET", SESSION);
  return response.status === 204 ? null : response.json();
}

/** Logs in, stays logged in, logs out. */
export const logIn = async (email, password) =>
  (await ask("POST", SESSION, { body: { email, password }, keepsSession: true })).json();
export const stay = async () => (await ask("PUT", SESSION)).json();
export const logOut = () => ask("DELETE", SESSION, { keepsSession: true });
