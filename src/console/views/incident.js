// One incident: what happened, where, since when, why we think so, how sure we are, what it could reach, what to do.

import { get, keepLink } from "../api.js";
import { h } from "../dom.js";
import { count, plural } from "../format.js";
import { badge, facts, functionLink, panel, tier, time, verdictBadge } from "../marks.js";
import { link, restate } from "../router.js";
import { name, short, value } from "../untrusted.js";
import { callGraph } from "./call_graph.js";
import { evidencePanel, surenessPanel } from "./incident/evidence.js";
import { timelinePanel } from "./incident/timeline.js";
import { tracesPanel } from "./incident/traces.js";
import { KINDS, begin, drop, undoLatest, verdictPanel } from "./incident/verdict.js";
import { proposalList } from "./proposals.js";

export const incident = {
  title: (page) => (page.data ? short(page.data.detail.incident.headline, 80) : `Incident ${page.parameters.id}`),
  keysTitle: "Incident",
  keys: (page) => [
    ...KINDS.map(([kind, key, text]) => [key, `say ${text.toLowerCase()}, after a look at what follows`, () => page.data && begin(page, kind)]),
    ["z", "take the latest verdict back", () => page.data && undoLatest(page)],
    ["Escape", "leave the verdict", () => drop(page)],
  ],
  async load(page, signal) {
    const { id } = page.parameters;
    if (page.query.get("link")) {
      // The token is not left in the address, where a glance or a screenshot would take it along.
      keepLink(id, page.query.get("link"));
      restate({ link: "" });
      page.query.delete("link");
    }
    const detail = await get(`incidents/${encodeURIComponent(id)}`, {}, signal, id);
    const [lead, proposals] = await Promise.all([
      beside(get(`functions/${encodeURIComponent(detail.incident.lead_function_id)}`, {}, signal), null),
      beside(get("proposals", { state: "waiting", page_size: 50 }, signal), { proposals: [] }),
    ]);
    return { detail, lead, proposals: proposals.proposals.filter((proposal) => proposal.incident_id === id) };
  },
  touched(event, page) {
    const { id } = page.parameters;
    if (event.kind === "incident") return event.incident.id === id;
    if (event.kind === "verdict") return event.verdict.incident_id === id || event.verdict.hits.some((hit) => hit.incident_id === id);
    return event.kind === "lagged" || (event.kind === "proposal" && event.proposal.incident_id === id);
  },
  render(page) {
    const { detail, lead, proposals } = page.data;
    return [
      heading(detail.incident),
      h(
        "div.columns",
        {},
        h("div.column", {}, evidencePanel(detail), surenessPanel(detail)),
        h("div.column.side", {}, adviceNow(page, detail, proposals), verdictPanel(page), where(detail)),
      ),
      lead && panel("What it could reach", { "data-key": "reach" }, callGraph(lead, detail.evidence)),
      tracesPanel(detail),
      timelinePanel(detail),
    ];
  },
};

/** What the page can do without: a signed link, for one, does not open it. */
const beside = (answer, otherwise) => answer.catch(() => otherwise);

function heading(one) {
  const lead = one.functions.find(({ id }) => id === one.lead_function_id) ?? one.functions[0];
  const others = one.functions.filter((each) => each !== lead);
  return h(
    "div.heading",
    {},
    h("p.badges", {}, tier(one.tier), " ", badge(one.state, one.state === "open" ? "warn" : "good"), " ", verdictBadge(one.verdict), " ", h("span.priority", {}, `Priority ${one.priority}`), " ", h("code", {}, one.id)),
    h("h1", { tabindex: "-1" }, name(one.headline, 400)),
    one.merged_into && h("p.banner", {}, "It became part of ", h("a", { href: link(["incidents", one.merged_into]) }, one.merged_into), "."),
    facts(
      [
        ["Where", lead && functionLink(lead)],
        ["Also drawn in", others.length > 0 && others.map((each, i) => [i > 0 && ", ", functionLink(each)])],
        ["Since", time(one.first_seen)],
        ["Last", time(one.last_seen)],
        ["Invocations", count(one.invocation_count)],
      ],
      ".row",
    ),
  );
}

function adviceNow(page, { advice, techniques }, proposals) {
  return panel(
    "What to do",
    { class: ".todo", "data-key": "todo" },
    h("p.lead", {}, name(advice || "Open the trace beside an ordinary one and ask the function's owner.", 400)),
    proposals.length > 0 && proposalList(page, proposals),
    techniques.length > 0 && [
      h("h3", {}, "It looks like"),
      h("ul.techniques", {}, byId(techniques).map(([id, rules]) => h("li", {}, h("span.technique", {}, name(id, 16)), " ", name(rules.join(", "), 240)))),
      h("p.note", {}, "Ids of MITRE ATT&CK, for Enterprise."),
    ],
  );
}

/** Each technique once, with every rule that led to it. */
function byId(techniques) {
  const rules = new Map();
  for (const { id, rule } of techniques) rules.set(id, [...(rules.get(id) ?? []), rule]);
  return [...rules];
}

/** What a person looks for first. */
const FIRST = ["faas.", "cloud.", "service."];
const rank = ({ key }) => (FIRST.findIndex((prefix) => key.startsWith(prefix)) + FIRST.length + 1) % (FIRST.length + 1);

function where({ resource, invocations, incident: one }) {
  return panel(
    "Where exactly",
    { "data-key": "where" },
    resource.length > 0 ? facts([...resource].sort((a, b) => rank(a) - rank(b)).map(({ key, value: text }) => [name(key, 60), value(text, 80)])) : h("p.empty", {}, "The function's resource names nothing."),
    invocations.length > 0 && h("details", {}, h("summary", {}, plural(one.invocation_count, "invocation"), Number(one.invocation_count) > invocations.length && `, the first ${invocations.length}`), h("ul", {}, invocations.map((id) => h("li", {}, value(id, 80))))),
  );
}
