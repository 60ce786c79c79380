// The keyboard. Every key is in one table, which is also what `?` shows.

import { recall, remember } from "./memory.js";

/** How long the second key of `g i` may take, milliseconds. */
const SEQUENCE = 1_500;

const layers = [];
let first = null;

/**
 * Adds keys: rows of `[keys, what it does, handler]`, where keys is `"j"`, `"?"`, `"Escape"` or a sequence such as
 * `"g i"`. Returns a function that takes them away. The latest layer goes first.
 */
export function addKeys(title, rows) {
  const layer = { title, rows: rows.map(([keys, what, run]) => ({ keys, what, run })) };
  layers.push(layer);
  return () => layers.splice(layers.indexOf(layer), 1);
}

/** What there is to press, for the help. */
export const keyTable = () => layers.map(({ title, rows }) => ({ title, rows: [...rows] }));

/** Whether single letters do something: some people's software types them. */
export const keysOn = () => recall("keys") !== "off";
export const switchKeys = (on) => remember("keys", on ? "on" : "off");

export function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = isTyping(event.target);
    if (event.key !== "Escape" && (typing || !keysOn() || document.querySelector("dialog[open]"))) return;
    const pressed = first && performance.now() - first.at < SEQUENCE ? `${first.key} ${event.key}` : event.key;
    const row = find(pressed) ?? find(event.key);
    first = !row && starts(event.key) ? { key: event.key, at: performance.now() } : null;
    if (row && row.run(event) !== false) event.preventDefault();
  });
}

function find(keys) {
  for (const layer of [...layers].reverse()) {
    const row = layer.rows.find((row) => row.keys.split(" or ").includes(keys));
    if (row) return row;
  }
  return null;
}

const starts = (key) => layers.some(({ rows }) => rows.some(({ keys }) => keys.startsWith(`${key} `) && !keys.startsWith(`${key} or `)));

const isTyping = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=checkbox], [type=radio]), textarea, select"));
