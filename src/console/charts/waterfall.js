// The spans of one invocation, each a bar in time under the one that called it.

import { h, svg } from "../dom.js";
import { duration } from "../format.js";
import { name, value } from "../untrusted.js";

/** Levels that are still indented. */
const DEEPEST = 6;

/**
 * `spans` of `{ id, parent, name, startUs, durationUs, error, marked, flags, attributes: [[key, value]] }`; `lengthUs` is what the
 * whole width stands for, so that two invocations beside each other share a scale.
 */
export function waterfall(what, spans, lengthUs) {
  if (spans.length === 0) return h("p.empty", {}, "No spans of it were kept.");
  const begin = Math.min(...spans.map((span) => span.startUs));
  const length = Math.max(lengthUs, 1);
  return h(
    "ol.waterfall",
    { "aria-label": what },
    inOrder(spans).map(({ span, depth }) => row(span, depth, (100 * (span.startUs - begin)) / length, (100 * span.durationUs) / length)),
  );
}

/** From the first start to the last end, microseconds. */
export function lengthOf(spans) {
  if (spans.length === 0) return 0;
  return Math.max(...spans.map((span) => span.startUs + span.durationUs)) - Math.min(...spans.map((span) => span.startUs));
}

/** Parents before children, siblings by start; what hangs on a span that is not there is a root. */
export function inOrder(spans) {
  const ids = new Set(spans.map((span) => span.id));
  const children = new Map();
  for (const span of [...spans].sort((a, b) => a.startUs - b.startUs)) {
    const parent = ids.has(span.parent) && span.parent !== span.id ? span.parent : "";
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const out = [];
  const seen = new Set();
  const visit = (parent, depth) => {
    for (const span of children.get(parent) ?? []) {
      if (seen.has(span)) continue;
      seen.add(span);
      out.push({ span, depth });
      if (span.id) visit(span.id, depth + 1);
    }
  };
  visit("", 0);
  // Circles of parents have no root: what is left is shown all the same.
  for (const span of spans) if (!seen.has(span)) out.push({ span, depth: 0 });
  return out;
}

function row(span, depth, from, wide) {
  const start = Math.min(Math.max(from, 0), 99.5);
  const bar = svg(
    "svg.span",
    { "aria-hidden": "true" },
    svg("rect.track", { width: "100%", height: "100%" }),
    svg("rect.time", { x: `${start.toFixed(2)}%`, width: `${Math.min(Math.max(wide, 0.5), 100 - start).toFixed(2)}%`, height: "100%" }),
  );
  return h(
    `li.depth-${Math.min(depth, DEEPEST)}${span.marked ? ".marked" : ""}${span.error ? ".error" : ""}`,
    { "data-key": span.id || null },
    h(
      "details",
      {},
      h(
        "summary",
        {},
        h("span.what", {}, name(span.name, 60), span.flags.map((flag) => [" ", h("strong.flag", {}, flag)])),
        bar,
        h("span.took", {}, duration(span.durationUs)),
      ),
      h("dl.attributes", {}, span.attributes.map(([key, text]) => h("div", {}, h("dt", {}, name(key, 80)), h("dd", {}, value(text))))),
      span.attributes.length === 0 && h("p.empty", {}, "No attributes were kept of this span."),
    ),
  );
}
