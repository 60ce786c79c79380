// The control API in its HTTP form, of the gateway that served this page.

import { recallSecret, rememberSecret } from "./memory.js";

/** Relative to the page, so that it also works behind a proxy that adds a path. */
const ROOT = "api/v1/";
/** The header that carries a signed link's token. */
const LINK = "x-sekisho-link";
/** An answer later than this is none, milliseconds. */
const PATIENCE = 15_000;

/** What went wrong: `status` is that of HTTP, 0 without an answer. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Whether there is a token; the gateway decides what it is worth. */
export const isSignedIn = () => recallSecret("token") !== null;

/** Signs in with `token` from now on. */
export const signIn = (token) => rememberSecret("token", token);

/** Keeps the token of a signed link to an incident: it opens that one incident to who is not signed in. */
export const keepLink = (incident, token) => rememberSecret(`link.${incident}`, token);

/** `GET`, with the entries of `query` that say something. `incident` is the one that is asked about, if it is one. */
export const get = (path, query = {}, signal = undefined, incident = "") => call("GET", address(path, query), undefined, signal, incident);

/** `POST` of `body` as JSON. */
export const post = (path, body = {}, incident = "") => call("POST", address(path), body, undefined, incident);

/** An open stream of events. */
export async function open(path, query, signal) {
  const response = await ask(address(path, query), { headers: headers({ accept: "text/event-stream" }), signal });
  if (!response.ok) throw await failure(response);
  return response;
}

async function call(method, url, body, signal, incident) {
  const late = AbortSignal.timeout(PATIENCE);
  const request = { method, headers: headers({ ...(body && { "content-type": "application/json" }), ...linked(incident) }), signal: signal ? AbortSignal.any([signal, late]) : late };
  if (body) request.body = JSON.stringify(body);
  let response = await ask(url, request);
  if ([401, 403].includes(response.status) && request.headers[LINK]) {
    // The link is too old; whoever is signed in does not need it.
    keepLink(incident, null);
    delete request.headers[LINK];
    response = await ask(url, request);
  }
  if (!response.ok) throw await failure(response);
  try {
    return await response.json();
  } catch {
    throw new ApiError(response.status, "the gateway's answer is not JSON; is something else listening here?");
  }
}

async function ask(url, request) {
  try {
    return await fetch(url, { ...request, credentials: "same-origin", cache: "no-store", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, error.name === "TimeoutError" ? "the gateway takes too long to answer" : "the gateway does not answer");
  }
}

async function failure(response) {
  let message = "";
  try {
    message = (await response.json()).message ?? "";
  } catch {
    // The status says it.
  }
  return new ApiError(response.status, message || `the gateway answered ${response.status}`);
}

function linked(incident) {
  const token = incident && recallSecret(`link.${incident}`);
  return token && { [LINK]: token };
}

function headers(more) {
  const token = recallSecret("token");
  return { ...more, ...(token && { authorization: `Bearer ${token}` }) };
}

function address(path, query = {}) {
  const said = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `${ROOT}${path}${said.length > 0 ? `?${new URLSearchParams(said)}` : ""}`;
}
