// Bits: one piece of evidence, and all of them against the line.

import { svg } from "../dom.js";
import { bits } from "../format.js";

/** A bar as long as `value` is of `most`. */
export function bar(value, most, kind = "") {
  const length = most > 0 ? Math.min(Math.max((100 * value) / most, 0), 100) : 0;
  return svg(`svg.bar${kind ? `.${kind}` : ""}`, { "aria-hidden": "true" }, svg("rect.track", { width: "100%", height: "100%" }), svg("rect", { width: `${length.toFixed(2)}%`, height: "100%" }));
}

/** The parts of a score in a row, and where the line is that a page has to cross. */
export function against(line, score, parts) {
  const most = Math.max(line, score, 0.1) * 1.12;
  const x = (value) => `${((100 * value) / most).toFixed(2)}%`;
  let begin = 0;
  return svg(
    "svg.against",
    { role: "img", "aria-label": `${bits(score)} bits, the page line is at ${bits(line)} bits` },
    svg("rect.track", { y: 14, width: "100%", height: 22 }),
    parts.map((part, i) => {
      const from = begin;
      begin = Math.min(begin + Math.max(part, 0), most);
      return svg(`rect.part.part-${i % 2}`, { x: x(from), y: 14, width: x(begin - from), height: 22 });
    }),
    svg("line.line", { x1: x(line), x2: x(line), y1: 8, y2: 42 }),
    svg("text.line", { x: x(line), y: 8, "text-anchor": "end" }, `page line ${bits(line)} `),
    svg("text.score", { x: x(Math.min(score, most)), y: 52, "text-anchor": "end" }, `${bits(score)} bits`),
  );
}
