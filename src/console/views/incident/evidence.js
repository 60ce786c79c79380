// Why we think so: every piece of evidence in bits, and all of it against the line.

import { against, bar } from "../../charts/score.js";
import { h } from "../../dom.js";
import { bits, count, plural, share } from "../../format.js";
import { badge, panel } from "../../marks.js";
import { table, td, th, tr } from "../../table.js";
import { name, value } from "../../untrusted.js";

const SOURCES = {
  in_process: "from inside the function, which could forge it",
  platform: "from the platform that runs the function",
  provider: "from the service that was called",
};
const GRAVE = new Set(["egress", "identity", "control", "delete"]);

export function evidencePanel({ incident, evidence, counterfactual }) {
  const most = Math.max(...evidence.map((row) => row.bits), 0);
  return panel(
    "Why we think so",
    { class: ".evidence", "data-key": "evidence" },
    against(incident.line, incident.score, evidence.map((row) => row.bits)),
    counterfactual && h("p.counterfactual", {}, h("strong", {}, "What if: "), name(counterfactual, 400), "."),
    evidence.length > 0
      ? table("Evidence, strongest first", ["Observed", th(".number", {}, "Bits"), "Usual", "Told by"], evidence.map((row) => line(row, most)), ".bars")
      : h("p.empty", {}, "No evidence was kept with this incident."),
  );
}

function line(row, most) {
  return tr(
    "",
    {},
    td(".main", "", h("div", {}, h("strong", {}, row.label || row.feature), " ", row.risk && row.risk !== "read" && badge(row.risk, GRAVE.has(row.risk) ? "bad" : "calm")), h("div", {}, value(row.observed || row.key))),
    td(".bits", "Bits", h("span.number", {}, bits(row.bits)), bar(row.bits, most)),
    td("", "Usual", h("div", {}, row.usual && h("div", {}, name(row.usual, 120)), h("div.note", {}, seen(row)))),
    td(".note.brief", "Told by", h("span", { title: SOURCES[row.source] ?? "" }, row.source.replace("_", " ") || "unknown")),
  );
}

/** In how many invocations, and by whom else; measures are of nobody else. */
function seen({ seen_in: some, out_of: all, fleet_seen: others, fleet_size: fleet, key, usual }) {
  const said = usual.startsWith("never in");
  const own = !said && BigInt(all) > 0n && `seen in ${count(some)} of ${count(all)}${BigInt(some) > 0n ? ` (${share(some, all)})` : ""}`;
  const elsewhere = fleet - 1;
  const there = key && elsewhere > 0 && `${count(Math.min(others, elsewhere))} of ${plural(elsewhere, "other function")}`;
  return [own, there].filter(Boolean).join("; ");
}

/** How sure we are, and what that rests on. */
export function surenessPanel({ incident, evidence, guarantee }) {
  const trust = ["provider", "platform", "in_process"].filter((source) => evidence.some((row) => row.source === source));
  return panel(
    "How sure we are",
    {},
    h("p", {}, `${bits(incident.score)} bits: extrapolated from what was calibrated, an ordinary function is this strange on one day in ${days(incident.score)}. The page line is at ${bits(incident.line)} bits, one day in ${days(incident.line)}.`),
    trust.length > 0 && h("p", {}, `Told ${trust.map((source) => SOURCES[source]).join("; and ")}.`),
    guarantee && h("p", {}, h("strong", {}, "Promise then: "), name(guarantee, 400), "."),
  );
}

/** Standardised bits are days of an ordinary function, one in 2^bits, to two digits. Beyond a billion nobody has counted. */
const days = (score) => (score > 30 ? "more than a billion" : count((2 ** Math.max(score, 0)).toPrecision(2)));
