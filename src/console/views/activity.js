// Everything people have said: exceptions that hold, hunts that run, and what was taken back.

import { get } from "../api.js";
import { h } from "../dom.js";
import { count, plural } from "../format.js";
import { panel, rowKeys } from "../marks.js";
import { link } from "../router.js";
import { verdictLine } from "./incident/verdict.js";

const PAGE_SIZE = 50;
const KINDS = [["", "All"], ["expected", "Exceptions"], ["malicious", "Hunts"], ["unsure", "Unsure"]];

export const activity = {
  title: () => "Verdicts",
  keysTitle: "Verdicts",
  keys: () => rowKeys,
  load: (page, signal) => get("verdicts", { kind: page.query.get("kind") ?? "", active: page.query.get("active") === "yes" ? "true" : "", page_size: PAGE_SIZE * (page.state.pages ?? 1) }, signal),
  touched: ({ kind }) => kind === "verdict" || kind === "lagged",
  render(page) {
    const { verdicts, total } = page.data;
    const ask = (changes) => {
      page.ask(changes);
      page.reload();
    };
    const [kind, active] = [page.query.get("kind") ?? "", page.query.get("active") === "yes"];
    return [
      h("h1", { tabindex: "-1" }, "Verdicts"),
      h(
        "div.controls",
        {},
        h("div.choices", { role: "group", "aria-label": "Kind" }, KINDS.map(([which, text]) => h("button", { type: "button", "aria-pressed": String(which === kind), onclick: () => ask({ kind: which }) }, text))),
        h("button", { type: "button", "aria-pressed": String(active), onclick: () => ask({ active: active ? "" : "yes" }) }, "Only what holds now"),
      ),
      page.state.said && h("p", { role: "status" }, page.state.said),
      h("p.note", {}, plural(total, "verdict"), ", newest first"),
      verdicts.length === 0
        ? h("p.empty", {}, "None. Open an incident and say whether it is expected, malicious, or you are not sure.")
        : panel("Verdicts", { class: ".bare" }, h("ul.verdicts", {}, verdicts.map((verdict) => h("li", { "data-key": verdict.id }, h("a.row", { href: link(["incidents", verdict.incident_id]) }, verdict.incident_id), verdictLine(page, verdict))))),
      total > verdicts.length && verdicts.length < 500 && h("p", {}, h("button", { type: "button", onclick: () => ((page.state.pages = (page.state.pages ?? 1) + 1), page.reload()) }, `Show more of ${count(total)}`)),
    ];
  },
};
