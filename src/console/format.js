// Numbers, times and rates for people.

const UNITS = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** Milliseconds of a time in nanoseconds, which travels as a decimal string; null where there is none. */
export function milliseconds(nanoseconds) {
  if (nanoseconds === undefined || nanoseconds === null || nanoseconds === "" || String(nanoseconds) === "0") return null;
  try {
    return Number(BigInt(nanoseconds) / 1_000n) / 1_000;
  } catch {
    return null;
  }
}

/** `2026-11-23 14:02:07 UTC`: the zone that traces and logs are in. */
export function utc(nanoseconds) {
  const at = milliseconds(nanoseconds);
  if (at === null || Math.abs(at) > 8.64e15) return "–";
  return `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** `14:02:07`, for lists whose day is said elsewhere. */
export function clock(nanoseconds) {
  const text = utc(nanoseconds);
  return text === "–" ? text : text.slice(11, 19);
}

/** `3 hours ago`, `in 2 days`. */
export function relative(nanoseconds, now = Date.now()) {
  const at = milliseconds(nanoseconds);
  if (at === null) return "";
  const seconds = (now - at) / 1_000;
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  const count = Math.floor(Math.abs(seconds) / length);
  if (count === 0) return "just now";
  const span = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return seconds >= 0 ? `${span} ago` : `in ${span}`;
}

/** `1.2 s`, `340 ms`, `85 µs`. */
export function duration(microseconds) {
  const value = Number(microseconds);
  if (!Number.isFinite(value)) return "–";
  if (value >= 3_600e6) return `${(value / 3_600e6).toFixed(1)} h`;
  if (value >= 60e6) return `${(value / 60e6).toFixed(1)} min`;
  if (value >= 1e6) return `${trimmed(value / 1e6)} s`;
  if (value >= 1e3) return `${trimmed(value / 1e3)} ms`;
  return `${trimmed(value)} µs`;
}

/** `12,040`. */
export function count(value) {
  const number = Number(value ?? 0);
  return Number.isFinite(number) ? Math.round(number).toLocaleString("en") : "–";
}

/** `1.2k`, where room is short. */
export function compact(value) {
  const number = Number(value ?? 0);
  if (!Number.isFinite(number)) return "–";
  if (Math.abs(number) < 1_000) return trimmed(number);
  const [size, letter] = [[1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([size]) => Math.abs(number) >= size);
  return `${trimmed(number / size)}${letter}`;
}

/** `512 B`, `1.4 MB`. */
export function bytes(value) {
  const number = Number(value ?? 0);
  if (number < 1_000) return `${Math.round(number)} B`;
  const [size, unit] = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]].find(([size]) => number >= size);
  return `${trimmed(number / size)} ${unit}`;
}

/** How a value in `unit`, as the API names it, is written. */
export function inUnit(unit) {
  return { us: duration, bytes, MB: (value) => `${count(value)} MB` }[unit] ?? count;
}

/** `17.2`: surprise, always with one decimal. */
export function bits(value) {
  const number = Number(value);
  return Number.isFinite(number) ? number.toFixed(1) : "–";
}

/** `4.2 %`, never a rounded 0 or 100. */
export function share(part, whole) {
  const [some, all] = [Number(part), Number(whole)];
  if (!(all > 0)) return "–";
  const percent = (100 * some) / all;
  if (some > 0 && percent < 0.1) return "< 0.1 %";
  if (some < all && percent > 99.9) return "> 99.9 %";
  return `${trimmed(percent)} %`;
}

/** `1 false page a week`: in the shortest unit that gives at least one. */
export function rate(perDay) {
  const units = [["day", 1], ["week", 7], ["month", 30], ["year", 365]];
  const [unit, days] = units.find(([, days]) => perDay * days >= 0.995) ?? ["year", 365];
  const times = Math.round(perDay * days * 100) / 100;
  return `${times} false ${times === 1 ? "page" : "pages"} a ${unit}`;
}

/** `1 function`, `3 functions`. */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${Number(number) === 1 ? one : many}`;
}

/** Up to three significant digits, without trailing zeros. */
function trimmed(value) {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}
