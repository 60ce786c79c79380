// All incidents: what is open, and what was.

import { h } from "../dom.js";
import { count, plural } from "../format.js";
import { listing, more, narrow, narrowSoon } from "../listing.js";
import { badge, functionLink, panel, rowKeys, searchKey, tier, time, verdictBadge } from "../marks.js";
import { link } from "../router.js";
import { table, td, th, tr } from "../table.js";
import { name } from "../untrusted.js";

const PAGE_SIZE = 50;
const STATES = [["open", "Open"], ["resolved", "Resolved"], ["all", "All"]];
const TIERS = [["", "All tiers"], ["page", "Pages only"]];

export const incidents = {
  title: () => "Incidents",
  keysTitle: "Incidents",
  keys: (page) => [
    ...rowKeys,
    searchKey,
    ["o", "open ones", () => narrow(page, { state: "" })],
    ["a", "all, also resolved ones", () => narrow(page, { state: "all" })],
    ["n", "older ones", () => more(page)],
  ],
  load: (page, signal) => listing(page, "incidents", { ...filter(page.query), page_size: PAGE_SIZE }, signal),
  touched: (event) => ["incident", "verdict", "lagged"].includes(event.kind),
  render(page) {
    const { list, total, next } = page.data;
    const narrowed = page.query.get("function") || page.query.get("tier");
    return [
      h("h1", { tabindex: "-1" }, "Incidents"),
      controls(page),
      h("p.note", { role: "status" }, `${plural(total, "incident")}, most recently changed first`),
      list.length > 0 ? panel("Incidents", { class: ".bare" }, incidentTable(list, "Incidents")) : nothing(page, narrowed),
      next && h("p", {}, h("button", { type: "button", onclick: () => more(page) }, "Show older ones", h("kbd", {}, "n"))),
    ];
  },
};

function filter(query) {
  const state = query.get("state") ?? "";
  return { state: state === "all" ? "" : state || "open", tier: query.get("tier") ?? "", function: query.get("function") ?? "" };
}

function controls(page) {
  const state = page.query.get("state") || "open";
  return h(
    "div.controls",
    { role: "search" },
    h("div.choices", { role: "group", "aria-label": "State" }, STATES.map(([which, text]) => h("button", { type: "button", "aria-pressed": String(which === state), onclick: () => narrow(page, { state: which === "open" ? "" : which }) }, text))),
    h("div.choices", { role: "group", "aria-label": "Tier" }, TIERS.map(([which, text]) => h("button", { type: "button", "aria-pressed": String(which === (page.query.get("tier") ?? "")), onclick: () => narrow(page, { tier: which }) }, text))),
    h(
      "div",
      {},
      h("label.unseen", { for: "search" }, "Function"),
      h("input", { id: "search", type: "search", placeholder: "Function…", value: page.query.get("function") ?? "", oninput: (event) => narrowSoon(page, { function: event.target.value.trim() }) }),
    ),
  );
}

function nothing(page, narrowed) {
  const state = page.query.get("state") || "open";
  const text = narrowed
    ? "No incident fits. Take away a filter, or ask for all states."
    : state === "open"
      ? "Nothing is open: nothing needs you now. Resolved incidents are under All."
      : "None yet. An incident opens when a function does what it, its application and the fleet have not done before.";
  return h("p.empty", {}, text);
}

/** A table of incidents; each row's link takes the keyboard. */
export function incidentTable(list, caption) {
  return table(caption, ["Tier", th(".number", {}, "Priority"), "What happened", "Where", "Last seen", th(".number", {}, "Invocations")], list.map(row));
}

function row(incident) {
  const others = incident.functions.length - 1;
  const lead = incident.functions.find(({ id }) => id === incident.lead_function_id) ?? incident.functions[0];
  return tr(
    incident.state === "resolved" ? ".past" : "",
    { "data-key": incident.id },
    td("", "Tier", tier(incident.tier), incident.state === "resolved" && [" ", badge("resolved")]),
    td(".number", "Priority", String(incident.priority)),
    td(
      ".main",
      "",
      h("a.row", { href: link(["incidents", incident.id]) }, name(incident.headline, 400)),
      h("div.note", {}, h("code", {}, incident.id), [...new Set(incident.technique_ids)].map((id) => [" ", h("span.technique", {}, name(id, 16))]), " ", verdictBadge(incident.verdict)),
    ),
    td("", "Where", lead && functionLink(lead), others > 0 && h("span.note", {}, ` and ${plural(others, "other")}`)),
    td("", "Last seen", time(incident.last_seen, { brief: true })),
    td(".number", "Invocations", count(incident.invocation_count)),
  );
}
