// Buckets as they travel (only those that hold something) and as they are drawn (all between the first and the last).

/** A bucket is a quarter of an octave wide. */
const WIDTH = 2 ** 0.25;
/** More than so many between two that hold something are drawn as one. */
const MOST_GAP = 40;

/** `[{ up_to, count }]` into `[{ from, to, count }]` without gaps. */
export function filled(buckets) {
  const out = [];
  for (const { up_to, count } of buckets) {
    const to = Number(up_to);
    const begin = Math.min(Math.floor(to / WIDTH), to - 1);
    let last = out.at(-1)?.to ?? begin;
    for (let gap = 0; last * WIDTH < begin && gap < MOST_GAP; gap++) {
      const next = Math.max(Math.floor(last * WIDTH), last + 1);
      out.push({ from: last, to: next, count: 0 });
      last = next;
    }
    out.push({ from: last, to, count });
  }
  return out;
}
