// A series in the width of a word.

import { svg } from "../dom.js";
import { compact } from "../format.js";

const [WIDTH, HEIGHT] = [120, 26];

/** `values`, oldest first, as bars; `what` says what they are. */
export function sparkline(values, what, { large = false } = {}) {
  const most = Math.max(...values, 0);
  const [width, height] = large ? [6 * WIDTH, 3 * HEIGHT] : [WIDTH, HEIGHT];
  const step = width / Math.max(values.length, 1);
  const label = values.length > 0 ? `${what}: at most ${compact(most)}, last ${compact(values.at(-1))}` : `${what}: nothing yet`;
  return svg(
    `svg.sparkline${large ? ".large" : ""}`,
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    values.map((value, i) => {
      const tall = most > 0 ? Math.max((value / most) * (height - 1), value > 0 ? 1 : 0) : 0;
      return svg("rect", { x: (i * step).toFixed(2), y: (height - tall).toFixed(2), width: Math.max(step - 0.6, 0.4).toFixed(2), height: tall.toFixed(2) });
    }),
    svg("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }),
  );
}
