// Small things that look the same everywhere: tiers, states, times, labelled values.

import { h } from "./dom.js";
import { milliseconds, relative, utc } from "./format.js";
import { link } from "./router.js";
import { name } from "./untrusted.js";

const TIERS = { page: "Page", queue: "Queue", evidence: "Evidence" };

/** `Page`: wakes somebody. */
export const tier = (which) => h(`span.badge.tier-${which in TIERS ? which : "evidence"}`, {}, TIERS[which] ?? "Evidence");

/** A state or a kind, in a tone: good, warn, bad or calm. */
export const badge = (text, tone = "calm") => h(`span.badge.tone-${tone}`, {}, text);

const VERDICTS = { expected: "good", malicious: "bad", unsure: "warn" };

export const verdictBadge = (kind) => (kind in VERDICTS ? badge(kind, VERDICTS[kind]) : null);

/** `2026-11-23 14:02:07 UTC · 3 hours ago`. */
export function time(nanoseconds, { brief = false } = {}) {
  const at = milliseconds(nanoseconds);
  if (at === null || Math.abs(at) > 8.64e15) return "–";
  const date = new Date(at);
  return h(
    "time",
    { datetime: date.toISOString(), title: brief ? utc(nanoseconds) : date.toString() },
    brief ? relative(nanoseconds) : [utc(nanoseconds), h("span.muted", {}, ` · ${relative(nanoseconds)}`)],
  );
}

/** A list of `[label, value]`; what has no value is left out. */
export function facts(rows, classes = "") {
  return h(
    `dl.facts${classes}`,
    {},
    rows.filter(([, said]) => said || said === 0).map(([label, said]) => h("div", {}, h("dt", {}, label), h("dd", {}, said))),
  );
}

/** A function by name, with its version, as a link where it is known. */
export function functionLink({ id, name: called, version }) {
  const text = [name(called, 60), version && h("span.muted", {}, " ", /^\d+$/.test(version) ? `v${version}` : name(version, 20))];
  return id ? h("a", { href: link(["functions", id]) }, text) : h("span", {}, text);
}

/** A panel with a heading. */
export function panel(title, attributes, ...children) {
  const { class: classes = "", ...rest } = attributes ?? {};
  return h(`section.panel${classes}`, rest, h("h2", {}, title), ...children);
}

/** Moves the focus `step` rows on; rows are what `selector` finds. */
export function moveFocus(selector, step) {
  const rows = [...document.querySelectorAll(selector)];
  if (rows.length === 0) return false;
  const now = rows.indexOf(document.activeElement);
  const next = now < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(now + step, 0), rows.length - 1);
  rows[next].focus();
  return true;
}

/** The keys of every list whose rows are links of class `row`. */
export const rowKeys = [
  ["j or ArrowDown", "next row", () => moveFocus("main a.row", 1)],
  ["k or ArrowUp", "row before", () => moveFocus("main a.row", -1)],
  ["Enter", "open the row", () => false],
];

/** `/`: to the search field. */
export const searchKey = [
  "/",
  "search",
  () => {
    document.getElementById("search")?.focus();
  },
];
