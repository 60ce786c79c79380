// What became of it, step by step.

import { h } from "../../dom.js";
import { bits, plural } from "../../format.js";
import { badge, panel, tier, time } from "../../marks.js";
import { name } from "../../untrusted.js";

const TONES = { opened: "bad", updated: "warn", resolved: "good", verdict: "calm", undone: "calm", hunted: "bad" };

export function timelinePanel({ timeline }) {
  return panel(
    "Timeline",
    { "data-key": "timeline" },
    timeline.length > 0
      ? h("ol.timeline", {}, timeline.map(entry))
      : h("p.empty", {}, "Nothing has been told of it yet."),
  );
}

function entry(row) {
  return h(
    "li",
    {},
    h("div", {}, badge(row.kind, TONES[row.kind]), " ", row.tier && [tier(row.tier), " "], time(row.at !== "0" ? row.at : row.written)),
    h("div", {}, name(row.text, 400)),
    row.tier && h("div.note", {}, `priority ${row.priority}, ${bits(row.score)} bits, ${plural(row.invocation_count, "invocation")}`),
    row.author && h("div.note", {}, "by ", name(row.author, 60)),
  );
}
