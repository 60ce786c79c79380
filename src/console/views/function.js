// One function's normal: what it touches, how it usually is, what came with its deploys.

import { get } from "../api.js";
import { bar } from "../charts/score.js";
import { histogram } from "../charts/histogram.js";
import { sparkline } from "../charts/sparkline.js";
import { h } from "../dom.js";
import { count, inUnit, plural, share } from "../format.js";
import { badge, facts, panel, rowKeys, time } from "../marks.js";
import { UNHURRIED } from "../page.js";
import { link } from "../router.js";
import { table, td, th, tr } from "../table.js";
import { name, short, value } from "../untrusted.js";
import { callGraph } from "./call_graph.js";
import { filled } from "./distribution.js";
import { FUNCTION_STATES } from "./functions.js";
import { incidentTable } from "./incidents.js";

/** Keys of a kind that are shown before somebody asks for the rest. */
const SOME = 12;
const KEY_STATES = { known: null, new: "warn", quarantined: "bad" };
const QUANTITIES = {
  duration: "Duration",
  self_time: "Time of its own",
  calls: "Calls",
  bytes_out: "Bytes out",
  bytes_in: "Bytes in",
  rows: "Rows",
  distinct_resources: "Distinct resources",
  memory: "Memory",
  init: "Start-up time",
};

export const functionView = {
  title: (page) => (page.data ? short(page.data.summary.name, 60) : "Function"),
  keysTitle: "Function",
  keys: () => rowKeys,
  load: (page, signal) => get(`functions/${encodeURIComponent(page.parameters.id)}`, {}, signal),
  touched: ({ kind, incident }, page) => {
    if (kind === "incident") return incident.functions.some(({ id }) => id === page.data?.summary.id);
    return kind === "lagged" || (kind === "fleet" && UNHURRIED);
  },
  render(page) {
    const detail = page.data;
    return [
      heading(detail.summary),
      h("div.columns", {}, graphPanel(detail), activity(detail.summary)),
      distributions(detail),
      h("div.columns", {}, h("div.column", {}, keyPanels(page, detail)), h("div.column.side", {}, versions(detail), coverage(detail))),
      panel("Its incidents", {}, detail.incidents.length > 0 ? incidentTable(detail.incidents, "Incidents of this function") : h("p.empty", {}, "None: it has always been itself.")),
    ];
  },
};

function heading(one) {
  const [tone, why] = FUNCTION_STATES[one.state] ?? ["calm", ""];
  return h(
    "div.heading",
    {},
    h("p.badges", {}, badge(one.state.replace("_", " "), tone), " ", h("span.note", {}, why), one.open_incident_id && [" ", h("a", { href: link(["incidents", one.open_incident_id]) }, badge("open incident", "bad"))]),
    h("h1", { tabindex: "-1" }, name(one.name, 120)),
    facts([["Version", one.version && value(one.version, 40)], ["Where", [one.provider, one.account, one.region].filter(Boolean).length > 0 && name([one.provider, one.account, one.region].filter(Boolean).join(" · "), 120)], ["Learned from", plural(one.invocations, "invocation")], ["First seen", time(one.first_seen)], ["Last seen", time(one.last_seen)]], ".row"),
  );
}

function activity(one) {
  const ticks = one.sparkline;
  return panel(
    "Last 24 hours with telemetry",
    { "data-key": "activity" },
    h("h3", {}, "Invocations an hour"),
    sparkline(ticks.map((tick) => tick.invocations), "Invocations an hour", { large: true }),
    h("h3", {}, "Highest score, bits"),
    sparkline(ticks.map((tick) => tick.highest), "Highest score an hour, bits", { large: true }),
    ticks.length > 0 && h("p.note", {}, time(ticks[0].start), " to ", time(ticks.at(-1).start)),
  );
}

function graphPanel(detail) {
  return panel("Who calls it, what it touches", { "data-key": "graph" }, callGraph(detail));
}

function keyPanels(page, detail) {
  return [
    ["operations", "Operations", "what it does"],
    ["resources", "Resources", "what it does it to"],
    ["destinations", "Destinations", "where it goes"],
    ["identities", "Identities", "as whom it acts"],
    ["errors", "Errors", "how it fails"],
    ["others", "Everything else", "triggers, libraries, statements, log messages"],
  ].map(([kind, title, what]) => (detail[kind].length > 0 || kind === "operations" || kind === "destinations" ? panel(title, { "data-key": kind }, keyTable(page, kind, what, detail[kind])) : null));
}

function keyTable(page, kind, what, keys) {
  if (keys.length === 0) return h("p.empty", {}, "None learned yet.");
  const all = page.state.all?.[kind];
  const shown = all ? keys : keys.slice(0, SOME);
  return [
    table(what, ["Name", th(".number", {}, "In invocations"), th(".number", {}, "At most"), "Elsewhere"], shown.map((key) => keyRow(kind, key)), ".bars"),
    keys.length > SOME && h("p", {}, h("button", { type: "button", "aria-expanded": String(Boolean(all)), onclick: () => page.update({ all: { ...page.state.all, [kind]: !all } }) }, all ? "Show fewer" : `Show all ${keys.length}`)),
  ];
}

function keyRow(kind, key) {
  const grave = ["egress", "identity", "control", "delete"].includes(key.risk);
  return tr(
    "",
    { "data-key": `${key.family}:${key.name}` },
    td(".main", "", value(key.name, 80), " ", key.risk && key.risk !== "read" && badge(key.risk, grave ? "bad" : "calm"), " ", KEY_STATES[key.state] && badge(key.state, KEY_STATES[key.state]), " ", key.mandatory && badge("always", "good"), kind === "others" && h("div.note", {}, key.family.replace("_", " ")), key.first_seen !== "0" && h("div.note", {}, "first ", time(key.first_seen))),
    td(".bits", "In invocations", h("span.number", {}, share(key.share, 1)), bar(key.share, 1, "plain")),
    td(".number", "At most", key.at_most > 0 ? `${count(key.at_most)}×` : "–"),
    td(".note", "Elsewhere", key.fleet_size > 0 ? `${count(key.fleet_seen)} of ${plural(key.fleet_size, "function")}` : "–"),
  );
}

function coverage({ coverage: classes }) {
  return panel(
    "Coverage",
    { "data-key": "coverage" },
    classes.length === 0
      ? h("p.empty", {}, "What would be seen of an attack is not worked out for this function.")
      : [
          h("p", {}, `${classes.filter(({ seen }) => seen).length} of ${plural(classes.length, "kind")} of attack would be seen today.`),
          h("ul.coverage", {}, classes.map((one) => h("li", {}, badge(one.seen ? "seen" : "unseen", one.seen ? "good" : "warn"), " ", name(one.attack_class, 60), one.missing && h("div.note", {}, "missing: ", name(one.missing, 200))))),
        ],
  );
}

function versions({ epochs }) {
  const newest = epochs.at(-1);
  return panel(
    "Versions",
    { "data-key": "versions" },
    epochs.length === 0 && h("p.empty", {}, "No version is known."),
    h("ol.timeline", {}, [...epochs].reverse().map((epoch) => h("li", {}, h("div", {}, h("strong", {}, epoch.version ? name(epoch.version, 40) : `number ${epoch.number}`), ", since ", time(epoch.began)), h("div.note", {}, plural(epoch.invocations, "invocation"))))),
    newest && epochs.length > 1 && [h("h3", {}, "What the newest deploy changed"), difference(newest)],
  );
}

function difference({ gained, lost }) {
  if (gained.length === 0 && lost.length === 0) return h("p.empty", {}, "Nothing: it does what it did before.");
  const row = (sign, what) => (key) => h("li", {}, h("strong", {}, `${sign} `), h("span.unseen", {}, what), h("span.note", {}, `${key.family.replace("_", " ")} `), value(key.name, 80), " ", key.risk && key.risk !== "read" && badge(key.risk, key.risk === "write" ? "calm" : "bad"));
  return h("ul.difference", {}, gained.map(row("+", "gained ")), lost.map(row("−", "lost ")));
}

function distributions({ distributions: all }) {
  return panel(
    "How it usually is",
    { "data-key": "distributions" },
    all.length === 0 && h("p.empty", {}, "Nothing has been measured yet."),
    h(
      "div.charts",
      {},
      all.map((one) => {
        const say = inUnit(one.unit);
        const title = `${QUANTITIES[one.quantity] ?? one.quantity.replaceAll("_", " ")}${one.cold ? ", cold starts" : ""}`;
        return h("figure", { "data-key": `${one.quantity}-${one.cold}` }, h("figcaption", {}, h("strong", {}, title), h("span.note", {}, ` ${plural(one.count, "value")}`)), histogram(title, filled(one.buckets), say, one.count > 0 ? [{ at: Number(one.usual_at_most), label: "usually at most" }] : []));
      }),
    ),
  );
}
