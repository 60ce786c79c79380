// Strong actions that wait for a person: exactly what would be executed, and the two answers.

import { get, post } from "../api.js";
import { h } from "../dom.js";
import { plural } from "../format.js";
import { badge, panel, time } from "../marks.js";
import { recall } from "../memory.js";
import { link } from "../router.js";
import { name, short, value } from "../untrusted.js";

const TONES = { waiting: "warn", approved: "calm", rejected: "calm", executed: "good", failed: "bad", expired: "calm" };

export const proposals = {
  title: () => "Proposals",
  keysTitle: "Proposals",
  keys: () => [
    ["j or ArrowDown", "next proposal", () => step(1)],
    ["k or ArrowUp", "proposal before", () => step(-1)],
  ],
  load: (_, signal) => get("proposals", { page_size: 100 }, signal),
  touched: ({ kind }) => kind === "proposal" || kind === "lagged",
  render(page) {
    const { proposals: list } = page.data;
    const waiting = list.filter((one) => one.state === "waiting");
    const past = list.filter((one) => one.state !== "waiting");
    return [
      h("h1", { tabindex: "-1" }, "Proposals"),
      h("p.note", {}, "Strong actions are only proposed. Nothing is executed before somebody approves it here, and every answer is kept."),
      list.length === 0 && h("p.empty", {}, "None. Proposals come from an escalation playbook; the gateway has none to make, or none configured."),
      waiting.length > 0 && panel(`${plural(waiting.length, "proposal")} to decide`, {}, proposalList(page, waiting)),
      past.length > 0 && panel("Decided", {}, proposalList(page, past)),
    ];
  },
};

/** Proposals one below the other, with the answers where they wait. */
export function proposalList(page, list) {
  return h("ul.proposals", {}, list.map((one) => h("li", { "data-key": one.id, tabindex: "-1" }, proposal(page, one))));
}

function proposal(page, one) {
  const answering = page.state.answering?.id === one.id ? page.state.answering : null;
  return [
    h("div", {}, badge(one.state, TONES[one.state]), " ", one.dry_run && [badge("dry run"), " "], h("strong", {}, name(one.action, 80)), h("span.note", {}, " stage ", name(one.stage, 40), ", ", name(one.component, 60), ", for ", h("a", { href: link(["incidents", one.incident_id]) }, one.incident_id))),
    h("p", {}, name(one.reason, 400)),
    h("pre.command", { tabindex: "0", role: "region", "aria-label": "Exactly what would be executed" }, short(one.command, 4_000)),
    one.state === "waiting"
      ? [
          h("p.note", {}, "Made ", time(one.made), ". May be approved until ", time(one.expires), "."),
          answering ? confirmation(page, one, answering) : h("div.choices", {}, h("button", { type: "button", onclick: () => ask(page, one.id, true) }, "Approve…"), h("button", { type: "button", onclick: () => ask(page, one.id, false) }, "Reject…")),
        ]
      : h("p.note", {}, one.decided !== "0" && ["Decided ", time(one.decided), " by ", name(one.decided_by || "somebody", 60), one.note && [": ", name(one.note, 300)], ". "], one.done !== "0" && ["Done ", time(one.done), "."]),
    one.outcome && h("div", {}, "Outcome: ", value(one.outcome, 200)),
  ];
}

/** The second look: a strong action is never one key or one click away. */
function confirmation(page, one, answering) {
  const verb = answering.approve ? (one.dry_run ? "Approve the dry run" : "Execute it") : "Reject it";
  return h(
    "form",
    { onsubmit: (event) => decide(event, page, one, answering) },
    h("label", { for: `why-${one.id}` }, "Why"),
    h("input", { id: `why-${one.id}`, maxlength: 1000, oninput: (event) => (answering.note = event.target.value) }),
    answering.problem && h("p.problem", { role: "alert" }, answering.problem),
    h("div.choices", {}, h(`button.${answering.approve ? "grave" : "primary"}`, { type: "submit" }, verb), h("button", { type: "button", onclick: () => page.update({ answering: null }) }, "Back")),
  );
}

function ask(page, id, approve) {
  page.update({ answering: { id, approve, note: "", problem: "" } });
  document.getElementById(`why-${id}`)?.focus();
}

async function decide(event, page, { id }, answering) {
  event.preventDefault();
  try {
    await post(`proposals/${encodeURIComponent(id)}/decide`, { approve: answering.approve, author: recall("author") ?? "", note: answering.note });
    page.update({ answering: null });
    await page.reload();
  } catch (error) {
    page.update({ answering: { ...answering, problem: error.message } });
  }
}

function step(by) {
  const rows = [...document.querySelectorAll(".proposals > li")];
  if (rows.length === 0) return false;
  const now = rows.findIndex((row) => row.contains(document.activeElement));
  rows[Math.min(Math.max(now + by, 0), rows.length - 1)].focus();
  return true;
}
