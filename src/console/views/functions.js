// All functions: how they are, how well they are seen, how busy they are.

import { sparkline } from "../charts/sparkline.js";
import { h } from "../dom.js";
import { count, plural } from "../format.js";
import { listing, more, narrowSoon } from "../listing.js";
import { badge, panel, rowKeys, searchKey, time } from "../marks.js";
import { UNHURRIED } from "../page.js";
import { link } from "../router.js";
import { table, td, th, tr } from "../table.js";
import { name } from "../untrusted.js";

const PAGE_SIZE = 200;
/** What each state means, in the words of its tooltip. */
export const FUNCTION_STATES = {
  learning: ["warn", "too few invocations to page for it yet"],
  fresh_deploy: ["warn", "a version younger than a day: what comes with a deploy is judged mildly"],
  watched: ["good", "what it normally does is known"],
};

const COLUMNS = [
  ["name", "Function", (a, b) => a.name.localeCompare(b.name)],
  ["state", "State", (a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name)],
  ["coverage", "Coverage", (a, b) => seenShare(a) - seenShare(b)],
  ["activity", "Last 24 hours", (a, b) => recent(b) - recent(a)],
  ["invocations", "Invocations", (a, b) => Number(BigInt(b.invocations) - BigInt(a.invocations))],
  ["last", "Last seen", (a, b) => Number(BigInt(b.last_seen) - BigInt(a.last_seen))],
];

export const functions = {
  title: () => "Functions",
  keysTitle: "Functions",
  keys: (page) => [
    ...rowKeys,
    searchKey,
    ["s", "sort by the next column", () => sortBy(page, nextColumn(page))],
    ["n", "more of them", () => more(page)],
  ],
  load: (page, signal) => listing(page, "functions", { name: page.query.get("name") ?? "", page_size: PAGE_SIZE }, signal),
  touched: ({ kind }) => (kind === "fleet" ? UNHURRIED : kind === "incident" || kind === "lagged"),
  render(page) {
    const { list, total, next } = page.data;
    const [, , order] = COLUMNS.find(([key]) => key === page.query.get("sort")) ?? [];
    const sorted = order ? [...list].sort(order) : list;
    return [
      h("h1", { tabindex: "-1" }, "Functions"),
      search(page),
      h("p.note", { role: "status" }, plural(total, "function"), list.length < total ? `, the first ${count(list.length)} are here` : ""),
      sorted.length > 0 ? panel("Functions", { class: ".bare" }, functionTable(page, sorted)) : nothing(page),
      next && h("p", {}, h("button", { type: "button", onclick: () => more(page) }, "Show more", h("kbd", {}, "n"))),
    ];
  },
};

function search(page) {
  return h("div.controls", { role: "search" }, h("label.unseen", { for: "search" }, "Name"), h("input", { id: "search", type: "search", placeholder: "Name…", value: page.query.get("name") ?? "", oninput: (event) => narrowSoon(page, { name: event.target.value.trim() }) }));
}

function functionTable(page, list) {
  const sorted = page.query.get("sort") ?? "";
  const head = ([key, text]) =>
    th("", { "aria-sort": key === sorted ? (key === "name" || key === "state" || key === "coverage" ? "ascending" : "descending") : "none" }, h("button.plain", { type: "button", onclick: () => sortBy(page, key) }, text, key === sorted && h("span", { "aria-hidden": "true" }, " ▾")));
  return table(sorted ? "Functions" : "Functions, those with an open incident first", COLUMNS.map(head), list.map(row));
}

function row(one) {
  const [tone, why] = FUNCTION_STATES[one.state] ?? ["calm", ""];
  const where = [one.provider, one.account, one.region].filter(Boolean).join(" · ");
  return tr(
    "",
    { "data-key": one.id },
    td(
      ".main",
      "",
      h("a.row", { href: link(["functions", one.id]) }, name(one.name, 80)),
      h("div.note", {}, one.version && ["version ", name(one.version, 24), where && " · "], where && name(where, 80)),
    ),
    td(
      "",
      "State",
      h("span", { title: why }, badge(one.state.replace("_", " "), tone)),
      one.open_incident_id && [" ", h("a", { href: link(["incidents", one.open_incident_id]) }, badge("open incident", "bad"))],
    ),
    td("", "Coverage", coverage(one)),
    td("", "Last 24 hours", sparkline(one.sparkline.map((tick) => tick.invocations), "Invocations an hour")),
    td(".number", "Invocations", count(one.invocations)),
    td("", "Last seen", time(one.last_seen, { brief: true })),
  );
}

/** How much would be seen of an attack. */
function coverage(one) {
  if (one.coverage_all === 0) return h("span.muted", {}, "not worked out");
  return `${one.coverage_seen} of ${one.coverage_all} kinds of attack`;
}

function nothing(page) {
  return page.query.get("name")
    ? h("p.empty", {}, "No function has that in its name.")
    : h("p.empty", {}, "No function has been seen yet. They appear with their first invocation: send telemetry to the gateway's OTLP receiver.");
}

function sortBy(page, key) {
  page.ask({ sort: key === page.query.get("sort") ? "" : key });
}

function nextColumn(page) {
  const now = COLUMNS.findIndex(([key]) => key === page.query.get("sort"));
  return COLUMNS[(now + 1) % COLUMNS.length][0];
}

const rank = (one) => (one.open_incident_id ? 0 : 1 + ["learning", "fresh_deploy", "watched"].indexOf(one.state));
const seenShare = (one) => (one.coverage_all > 0 ? one.coverage_seen / one.coverage_all : -1);
const recent = (one) => one.sparkline.reduce((sum, tick) => sum + tick.invocations, 0);
