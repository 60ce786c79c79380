// Everything people have said: exceptions that hold, hunts that run, and what was taken back.

import { h } from "../dom.js";
import { plural } from "../format.js";
import { listing, more, narrow } from "../listing.js";
import { panel, rowKeys } from "../marks.js";
import { link } from "../router.js";
import { verdictLine } from "./incident/verdict.js";

const PAGE_SIZE = 50;
const KINDS = [["", "All"], ["expected", "Exceptions"], ["malicious", "Hunts"], ["unsure", "Unsure"]];

export const activity = {
  title: () => "Verdicts",
  keysTitle: "Verdicts",
  keys: (page) => [...rowKeys, ["n", "older ones", () => more(page)]],
  load: (page, signal) => listing(page, "verdicts", { kind: page.query.get("kind") ?? "", active: page.query.get("active") === "yes" ? "true" : "", page_size: PAGE_SIZE }, signal),
  touched: ({ kind }) => kind === "verdict" || kind === "lagged",
  render(page) {
    const { list, total, next } = page.data;
    const [kind, active] = [page.query.get("kind") ?? "", page.query.get("active") === "yes"];
    return [
      h("h1", { tabindex: "-1" }, "Verdicts"),
      h(
        "div.controls",
        {},
        h("div.choices", { role: "group", "aria-label": "Kind" }, KINDS.map(([which, text]) => h("button", { type: "button", "aria-pressed": String(which === kind), onclick: () => narrow(page, { kind: which }) }, text))),
        h("button", { type: "button", "aria-pressed": String(active), onclick: () => narrow(page, { active: active ? "" : "yes" }) }, "Only what holds now"),
      ),
      page.state.said && h("p", { role: "status" }, page.state.said),
      h("p.note", {}, plural(total, "verdict"), ", newest first"),
      list.length === 0
        ? h("p.empty", {}, "None. Open an incident and say whether it is expected, malicious, or you are not sure.")
        : panel("Verdicts", { class: ".bare" }, h("ul.verdicts", {}, list.map((verdict) => h("li", { "data-key": verdict.id }, h("a.row", { href: link(["incidents", verdict.incident_id]) }, verdict.incident_id), verdictLine(page, verdict))))),
      next && h("p", {}, h("button", { type: "button", onclick: () => more(page) }, "Show older ones", h("kbd", { "aria-hidden": "true" }, "n"))),
    ];
  },
};
