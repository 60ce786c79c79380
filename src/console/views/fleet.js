// The first screen: is it working, what is promised, what waits for somebody.

import { get } from "../api.js";
import { bar } from "../charts/score.js";
import { sparkline } from "../charts/sparkline.js";
import { h } from "../dom.js";
import { compact, count, plural, rate } from "../format.js";
import { badge, facts, panel, rowKeys, time } from "../marks.js";
import { link } from "../router.js";
import { name, value } from "../untrusted.js";
import { incidentTable } from "./incidents.js";

/** Readings of the rate of invocations that are kept while the page is open. */
const READINGS = 60;
const HEALTH = { ready: "good", degraded: "warn", failed: "bad" };
const PROMISE = { learning: "warn", active: "good", suspended: "bad" };

export const fleet = {
  title: () => "Fleet",
  keysTitle: "Fleet",
  keys: () => rowKeys,
  async load(_, signal) {
    const [state, open] = await Promise.all([get("fleet", {}, signal), get("incidents", { state: "open", page_size: 8 }, signal)]);
    return { fleet: state, open };
  },
  touched(event, page) {
    if (event.kind !== "fleet") return event.kind === "incident" || event.kind === "verdict" || event.kind === "lagged";
    if (page.data) read(page, event.fleet);
    return false;
  },
  render(page) {
    const { fleet: state, open } = page.data;
    return [
      h("h1", { tabindex: "-1" }, "Fleet"),
      state.functions === 0 && !(BigInt(state.invocations_scored) > 0n) ? nothingYet(state) : null,
      panel(
        "Open incidents",
        {},
        open.incidents.length > 0
          ? [
              incidentTable(open.incidents, "Open incidents, most recently changed first"),
              h("p", {}, h("a", { href: link(["incidents"]) }, open.total > open.incidents.length ? `All ${count(open.total)} open incidents` : "All incidents")),
            ]
          : h("p.empty", {}, state.functions > 0 ? "None. Nothing needs you now." : "None, and nothing has been watched yet."),
      ),
      h("div.grid", {}, promise(state), health(state), telemetry(state, page.state.rates ?? []), waiting(state)),
    ];
  },
};

/** Takes a new state of the fleet, and what happened since the one before. */
function read(page, next) {
  const [before, after] = [page.state.reading, { at: Date.now(), scored: BigInt(next.invocations_scored) }];
  const rates = page.state.rates ?? [];
  if (before && after.at > before.at && after.scored >= before.scored) {
    rates.push((Number(after.scored - before.scored) * 1_000) / (after.at - before.at));
  }
  page.data = { ...page.data, fleet: next };
  page.update({ reading: after, rates: rates.slice(-READINGS) });
}

function nothingYet(state) {
  return h(
    "div.banner",
    {},
    h("p", {}, h("strong", {}, "No telemetry has arrived yet.")),
    h("p", {}, "Point an OpenTelemetry SDK or Collector at the gateway's OTLP receiver, for example with ", h("code", {}, "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"), ", or play a recording into it with ", h("code", {}, "sekisho replay"), "."),
    BigInt(state.unattributed) > 0n ? h("p", {}, `${count(state.unattributed)} records came, but name no function: put the `, h("code", {}, "faas"), " processor before ", h("code", {}, "anomaly"), ".") : null,
  );
}

function promise(state) {
  const learning = state.promise_state === "learning";
  const bound = learning ? state.bound_per_day : state.budget_per_day;
  // The badge says the state already.
  const sentence = state.promise.startsWith(`${state.promise_state}: `) ? state.promise.slice(state.promise_state.length + 2) : state.promise;
  const suspended = state.promise_state === "suspended";
  const realised = state.realised_days > 0 ? state.realised_pages / state.realised_days : null;
  const most = Math.max(state.budget_per_day, suspended ? 0 : bound, realised ?? 0);
  return panel(
    "Promise",
    {},
    h("p.lead", {}, badge(state.promise_state || "unknown", PROMISE[state.promise_state]), " ", name(sentence, 400)),
    h(
      "dl.rates",
      {},
      beside("Budget", state.budget_per_day, most, rate(state.budget_per_day)),
      suspended ? null : beside(learning ? "Holds so far" : "Promised", bound, most, `at most ${rate(bound)}`),
      realised === null ? null : beside("Realised", realised, most, `${plural(state.realised_pages, "page")} in ${plural(state.realised_days, "day")}`),
    ),
    facts([
      ["Page line", `${state.line.toFixed(1)} bits, from ${plural(state.days, "day")}`],
      ["Suspended since", suspended && time(state.suspended_since)],
    ]),
  );
}

/** One rate of false pages as a bar, on the scale of its neighbours. */
function beside(label, perDay, most, text) {
  return h("div", {}, h("dt", {}, label), h("dd", {}, bar(perDay, most, label === "Realised" ? "" : "plain"), text));
}

function health(state) {
  return panel(
    "Health",
    {},
    h("p.lead", {}, badge(state.health || "unknown", HEALTH[state.health]), ` Sekisho ${state.version}`),
    state.problems.length > 0 && h("ul.problems", {}, state.problems.map(({ key, value: why }) => h("li", {}, h("strong", {}, name(key)), ": ", value(why)))),
    facts([
      ["Running since", time(state.started)],
      ["Incidents kept", `${count(state.stored_incidents)} of at most ${count(state.most_incidents)}, ${plural(Number(state.retention_seconds) / 86_400, "day")}`],
      ["After a restart", state.persistent ? "all of them are still there" : h("strong", {}, "they are gone: give the console a storage extension")],
    ]),
  );
}

function telemetry(state, rates) {
  const lost = BigInt(state.unattributed) > 0n;
  return panel(
    "Telemetry",
    {},
    h("p.lead", {}, h("strong", {}, count(state.invocations_scored)), " invocations scored of ", h("a", { href: link(["functions"]) }, plural(state.functions, "function"))),
    rates.length > 1 && h("p", {}, sparkline(rates, "Invocations a second", { large: true }), h("span.note", {}, `${compact(rates.at(-1))} invocations a second now`)),
    facts([
      ["Latest event time", time(state.watermark)],
      ["Without a function", lost ? `${count(state.unattributed)} records passed unscored; the faas processor names functions` : null],
    ]),
  );
}

function waiting(state) {
  const row = (href, number, what) => h("li", {}, h("a", { href }, h("strong", {}, count(number)), ` ${what}`));
  return panel(
    "Waiting for somebody",
    {},
    h(
      "ul.tally",
      {},
      row(link(["incidents"], { tier: "page" }), state.open_pages, state.open_pages === 1 ? "open page" : "open pages"),
      row(link(["incidents"], { tier: "queue" }), state.open_queued, "in the queue"),
      row(link(["proposals"]), state.waiting_proposals, state.waiting_proposals === 1 ? "proposal to decide" : "proposals to decide"),
      row(link(["activity"], { kind: "expected" }), state.active_exceptions, state.active_exceptions === 1 ? "exception holds" : "exceptions hold"),
      row(link(["activity"], { kind: "malicious" }), state.active_hunts, state.active_hunts === 1 ? "hunt runs" : "hunts run"),
    ),
  );
}
