// The view that is on: its data, its state, and when it is drawn again.

import { ApiError } from "./api.js";
import { h, patch } from "./dom.js";
import { clock } from "./format.js";
import { place, restate } from "./router.js";

/** Events within so many milliseconds are one reason to load anew. */
const GATHER = 200;
/** What only grows a little is loaded anew this late, milliseconds. */
export const UNHURRIED = 15_000;
/** Relative times are written anew so often, milliseconds. */
const TICK = 30_000;

/**
 * One view on screen. A view is `{ title(page), load(page, signal), render(page), touched(event, page), keys(page) }`: `load`
 * returns its data, `render` elements from `page.data` and `page.state`, `touched` whether an event makes the data old:
 * true, false, or milliseconds that it may stay as it is.
 */
export class Page {
  constructor(view, parameters, main, shell) {
    this.view = view;
    this.parameters = parameters;
    this.query = place().query;
    this.state = {};
    this.data = null;
    this.error = null;
    this.loadedAt = null;
    this.shell = shell;
    this.#main = main;
    this.#timer = setInterval(() => this.update(), TICK);
    this.reload();
  }

  #main;
  #timer;
  #gathering = null;
  #due = Infinity;
  #ended = new AbortController();
  #loading = 0;

  /** Loads the data anew and draws. The latest load counts, whatever order answers come in. */
  async reload() {
    if (this.#ended.signal.aborted) return;
    const mine = ++this.#loading;
    if (this.data === null) this.#draw();
    try {
      const data = await this.view.load(this, this.#ended.signal);
      if (mine !== this.#loading) return;
      this.data = data;
      this.error = null;
      this.loadedAt = Date.now();
    } catch (error) {
      if (this.#ended.signal.aborted || mine !== this.#loading) return;
      if (!(error instanceof ApiError)) console.error(error);
      this.error = error;
      if (error.status === 401) this.shell.signIn();
    }
    this.update();
  }

  /** Draws again, after `changes` of the state. */
  update(changes = {}) {
    if (this.#ended.signal.aborted) return;
    Object.assign(this.state, changes);
    this.#draw();
  }

  /** Changes what the address says of this view, and draws. */
  ask(changes) {
    if (this.#ended.signal.aborted) return;
    restate(changes);
    this.query = place().query;
    this.update();
  }

  /** Something happened at the gateway. */
  event(event) {
    const touched = this.view.touched?.(event, this);
    if (!touched) return;
    const due = Date.now() + (touched === true ? GATHER : touched);
    if (this.#due <= due) return;
    clearTimeout(this.#gathering);
    this.#due = due;
    this.#gathering = setTimeout(() => {
      this.#due = Infinity;
      this.reload();
    }, due - Date.now());
  }

  end() {
    this.#ended.abort();
    clearInterval(this.#timer);
    clearTimeout(this.#gathering);
  }

  get title() {
    return this.view.title(this);
  }

  #draw() {
    if (this.data === null) {
      this.#main.setAttribute("aria-busy", String(this.error === null));
      patch(this.#main, this.error ? failed(this) : loading(this));
      return;
    }
    this.#main.setAttribute("aria-busy", "false");
    patch(this.#main, this.error ? stale(this) : null, h("div.view", { "data-key": "view" }, this.view.render(this)));
    this.shell.titled(this.title);
  }
}

function loading(page) {
  return h("div.view", { "data-key": "loading" }, h("h1", { tabindex: "-1" }, page.title), h("p.empty", {}, "Loading…"));
}

function failed(page) {
  const { error } = page;
  const advice = {
    0: "Is it running, and can this machine reach it? The page goes on trying by itself.",
    401: "Sign in with a token of the console's authenticator.",
    403: "You are signed in, but this is not yours to see.",
    404: "It may have been resolved and forgotten: the gateway keeps what its retention says.",
  };
  return h(
    "div.view.failed",
    { "data-key": "failed", role: "alert" },
    h("h1", { tabindex: "-1" }, page.title),
    h("p", {}, h("strong", {}, sentence(error.message))),
    h("p", {}, advice[error.status] ?? "Try again; if it stays, the gateway's log says why."),
    h("p", {}, h("button", { type: "button", onclick: () => page.reload() }, "Try again")),
  );
}

function stale(page) {
  const at = clock(String(BigInt(page.loadedAt) * 1_000_000n));
  return h(
    "p.banner",
    { "data-key": "stale", role: "alert" },
    `${sentence(page.error.message)} What you see is from ${at} UTC. `,
    h("button", { type: "button", onclick: () => page.reload() }, "Try again"),
  );
}

function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
