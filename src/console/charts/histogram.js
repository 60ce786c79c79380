// How often which value: what a function's durations and counts usually are.

import { h, svg } from "../dom.js";
import { count } from "../format.js";

const [WIDTH, HEIGHT, FOOT] = [360, 110, 18];

/**
 * `buckets` of `{ from, to, count }`, ascending; `say` writes a value. `marks` of `{ at, label }` are drawn as lines over
 * it: quantiles, or what an abnormal invocation had.
 */
export function histogram(what, buckets, say, marks = []) {
  if (buckets.length === 0) return h("p.empty", {}, `No ${what} seen yet.`);
  const most = Math.max(...buckets.map((bucket) => bucket.count), 1);
  const step = WIDTH / buckets.length;
  const at = position(buckets, step);
  const total = buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  const [first, last] = [buckets[0], buckets.at(-1)];
  const spoken = marks.map((mark) => `${mark.label} ${say(mark.at)}`).join(", ");
  return svg(
    "svg.histogram",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT + FOOT}`, role: "img", "aria-label": `${what}: ${count(total)} values from ${say(first.from)} to ${say(last.to)}${spoken && `; ${spoken}`}` },
    buckets.map((bucket, i) => {
      const tall = bucket.count > 0 ? Math.max((bucket.count / most) * (HEIGHT - 16), 1) : 0;
      return svg(
        "rect",
        { x: (i * step).toFixed(2), y: (HEIGHT - tall).toFixed(2), width: Math.max(step - 1, 1).toFixed(2), height: tall.toFixed(2) },
        svg("title", {}, `${say(bucket.from)} to ${say(bucket.to)}: ${count(bucket.count)}`),
      );
    }),
    svg("line.axis", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT }),
    svg("text", { x: 0, y: HEIGHT + 13 }, say(first.from)),
    svg("text", { x: WIDTH, y: HEIGHT + 13, "text-anchor": "end" }, say(last.to)),
    marks.map((mark, i) => {
      const x = at(mark.at);
      const end = x > WIDTH * 0.7;
      return svg(
        `g.mark${mark.kind ? `.${mark.kind}` : ""}`,
        {},
        svg("line", { x1: x, x2: x, y1: 10 + 11 * (i % 3), y2: HEIGHT }),
        svg("text", { x: x + (end ? -3 : 3), y: 10 + 11 * (i % 3), "text-anchor": end ? "end" : "start" }, `${mark.label} ${say(mark.at)}`),
      );
    }),
  );
}

/** Where a value is: the buckets are as wide as each other, whatever they hold. */
function position(buckets, step) {
  return (value) => {
    const i = buckets.findIndex((bucket) => value < bucket.to);
    if (i < 0) return WIDTH - 1;
    const { from, to } = buckets[i];
    const within = to > from ? Math.max((value - from) / (to - from), 0) : 0;
    return Number(((i + within) * step).toFixed(2));
  };
}
