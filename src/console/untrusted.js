// Text from telemetry, as an attacker may have written it.

import { h } from "./dom.js";

/** Characters of a value shown before somebody asks for the rest. */
const SHORT = 160;
/** Characters shown at all. */
const LONG = 20_000;

/** Controls, direction changes, separators and invisible characters: they can make text say something else. */
const DECEPTIVE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** `text` with every deceptive character spelt out: `⟨U+202E⟩`. */
export function visible(text) {
  return String(text).replace(DECEPTIVE, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** `text`, visible and at most `most` characters long. */
export function short(text, most = SHORT) {
  const characters = [...visible(String(text).slice(0, 4 * most))];
  const cut = characters.length > most || String(text).length > 4 * most;
  return cut ? `${characters.slice(0, most - 1).join("")}…` : characters.join("");
}

/** A name or a sentence in the running text, its direction kept to itself. */
export function name(text, most = SHORT) {
  return h("bdi", {}, short(text, most));
}

/** A value as code: the beginning, and all of it for who asks. */
export function value(text, most = SHORT) {
  const whole = String(text);
  const beginning = short(whole, most);
  if (beginning === visible(whole)) return h("bdi.value", {}, beginning);
  const length = `${whole.length.toLocaleString("en")} characters`;
  return h(
    "details.long",
    {},
    h("summary", {}, h("bdi.value", {}, beginning), " ", h("span.note", {}, length)),
    h("bdi.value.whole", { tabindex: "0", role: "region", "aria-label": `All ${length}` }, short(whole, LONG)),
  );
}
