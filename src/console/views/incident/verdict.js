// What a person says of an incident, what would follow, and taking it back.

import { post } from "../../api.js";
import { h } from "../../dom.js";
import { bits, plural } from "../../format.js";
import { badge, panel, time, verdictBadge } from "../../marks.js";
import { recall, remember } from "../../memory.js";
import { link } from "../../router.js";
import { name, value } from "../../untrusted.js";
import { scopeFields, scopeText } from "./scope.js";

/** Kind, key, what the button says, what it means. */
export const KINDS = [
  ["expected", "e", "Expected", "It is right that this happens: an exception keeps it from being told again, until it expires."],
  ["malicious", "m", "Malicious", "Somebody else did this: the same is looked for in everything that is stored, and from now on."],
  ["unsure", "u", "Unsure", "Neither: the note tells the next person what you know."],
];
const DAY = 86_400;
const LASTING = [[1, "1 day"], [7, "1 week"], [30, "30 days"], [90, "90 days"], [365, "1 year"]];
/** A preview follows what is typed so late, milliseconds. */
const PAUSE = 250;

/** Begins to give a verdict: shows what it would do. */
export function begin(page, kind) {
  page.update({ draft: { kind, note: "", days: 30, scopes: null, preview: null, error: "", busy: false } });
  document.getElementById("verdict-note")?.focus();
  preview(page, 0);
}

/** Leaves it. */
export function drop(page) {
  if (!page.state.draft) return false;
  page.update({ draft: null });
  document.getElementById("verdict-expected")?.focus();
  return true;
}

/** Takes back the latest verdict that holds. */
export async function undoLatest(page) {
  const active = page.data.detail.verdicts.filter((verdict) => verdict.state === "active");
  if (active.length > 0) await undo(page, active.at(-1).id);
}

/** Takes back one verdict, from wherever it is listed. */
export async function undo(page, id) {
  try {
    await post(`verdicts/${encodeURIComponent(id)}/undo`, { author: recall("author") ?? "", note: "" });
    page.update({ said: "The verdict is taken back." });
  } catch (error) {
    page.update({ said: `Not taken back: ${error.message}` });
  }
  await page.reload();
}

export function verdictPanel(page) {
  const { detail } = page.data;
  const { draft, said } = page.state;
  return panel(
    "What do you say?",
    { class: ".verdict", "data-key": "verdict" },
    h("p.lead", { role: "status" }, said ?? ""),
    h("div.choices", { role: "group", "aria-label": "Verdict" }, KINDS.map(([kind, key, text, why]) => h("button", { type: "button", id: `verdict-${kind}`, title: why, "aria-pressed": String(draft?.kind === kind), onclick: () => begin(page, kind) }, text, h("kbd", { "aria-hidden": "true" }, key)))),
    draft ? form(page, draft) : given(page, detail.verdicts),
  );
}

function given(page, verdicts) {
  if (verdicts.length === 0) return h("p.note", {}, "Nobody has said anything of it yet. You see what your answer does before it is done, and can take it back.");
  return h("ul.verdicts", {}, [...verdicts].reverse().map((verdict) => h("li", { "data-key": verdict.id }, verdictLine(page, verdict))));
}

/** One verdict in a list, with the button that takes it back. */
export function verdictLine(page, verdict) {
  return [
    h("div", {}, verdictBadge(verdict.kind), " ", verdict.state !== "active" && [badge(verdict.state), " "], "by ", name(verdict.author || "somebody", 60), ", ", time(verdict.given)),
    verdict.note && h("blockquote", {}, name(verdict.note, 1_000)),
    verdict.scopes.length > 0 && h("ul", {}, verdict.scopes.map((scope) => h("li", {}, scopeText(scope)))),
    verdict.kind === "expected" && verdict.expires !== "0" && h("div.note", {}, verdict.state === "expired" ? "expired " : "until ", time(verdict.expires), `; has covered ${plural(verdict.covered_invocations, "invocation")}`),
    verdict.signature.length > 0 && h("div.note", {}, "hunts for ", verdict.signature.map((one, i) => [i > 0 && ", ", value(one.key || one.feature, 60)]), `; found ${plural(verdict.hit_count, "time")}`),
    verdict.hits.length > 0 && hits(verdict.hits),
    verdict.undone !== "0" && h("div.note", {}, "taken back by ", name(verdict.undone_by || "somebody", 60), ", ", time(verdict.undone), verdict.undone_note && [": ", name(verdict.undone_note, 300)]),
    verdict.state === "active" && h("button", { type: "button", onclick: () => undo(page, verdict.id) }, "Undo", h("span.unseen", {}, ` ${verdict.kind} of ${verdict.incident_id}`)),
  ];
}

function hits(list) {
  return h(
    "details",
    {},
    h("summary", {}, `What was found, ${plural(list.length, "latest hit")}`),
    h("ul", {}, [...list].reverse().map((hit) => h("li", {}, time(hit.at), ": ", hit.incident_id ? h("a", { href: link(["incidents", hit.incident_id]) }, hit.incident_id) : "no incident of its own", hit.evidence && [", ", value(hit.evidence.observed || hit.evidence.key, 80)]))),
  );
}

function form(page, draft) {
  const [, , text, why] = KINDS.find(([kind]) => kind === draft.kind);
  const change = (changes) => {
    Object.assign(draft, changes, { preview: null });
    page.update();
    preview(page, PAUSE);
  };
  const confirm = (event) => {
    event.preventDefault();
    give(page, draft);
  };
  const quick = (event) => {
    if (event.key === "Enter" && event.ctrlKey && !unready) confirm(event);
  };
  const unready = draft.busy || !draft.preview || (draft.kind === "unsure" && draft.note.trim() === "");
  return h(
    "form",
    { "data-key": `draft-${draft.kind}`, onsubmit: confirm, onkeydown: quick, "aria-label": `${text}: what would follow` },
    h("p.note", {}, why),
    h("div", {}, h("label", { for: "verdict-note" }, draft.kind === "unsure" ? "Why (needed)" : "Why"), h("textarea", { id: "verdict-note", maxlength: 1000, oninput: (event) => note(page, draft, event.target.value) })),
    h("div", {}, h("label", { for: "verdict-author" }, "Your name"), h("input", { id: "verdict-author", autocomplete: "name", maxlength: 60, value: recall("author") ?? "", oninput: (event) => remember("author", event.target.value.trim()) })),
    draft.kind === "expected" && [
      h("div", {}, h("label", { for: "verdict-days" }, "Expected for"), h("select", { id: "verdict-days", onchange: (event) => change({ days: Number(event.target.value) }) }, LASTING.map(([days, said]) => h("option", { value: days, selected: days === draft.days }, said)))),
      draft.scopes && scopeFields(draft.scopes, (scopes) => change({ scopes })),
    ],
    h("div.preview", { role: "status", "aria-live": "polite" }, draft.error ? h("p.problem", {}, draft.error) : draft.preview ? consequence(draft.preview, draft.kind) : h("p.note", {}, "Working out what would follow…")),
    h("div.choices", {}, h("button.primary", { type: "submit", disabled: unready }, `Confirm: ${text.toLowerCase()}`), h("button", { type: "button", onclick: () => drop(page) }, "Cancel", h("kbd", { "aria-hidden": "true" }, "Esc"))),
  );
}

/** The note changes nothing that a preview says, but whether one may confirm. */
function note(page, draft, text) {
  draft.note = text;
  page.update();
}

function consequence(preview, kind) {
  return [
    h("p", {}, h("strong", {}, name(preview.summary, 400))),
    kind === "expected" && [
      h("p", {}, preview.covers_this ? badge("covers this incident", "good") : badge("does not cover this incident", "warn"), ` ${bits(preview.remaining_score)} bits would remain; the page line is at ${bits(preview.line)}.`),
      preview.expires !== "0" && h("p", {}, "Until ", time(preview.expires), "."),
    ],
    kind === "malicious" && preview.signature.length > 0 && h("p", {}, "Looked for: ", preview.signature.map((one, i) => [i > 0 && ", ", one.feature, one.key && [" ", value(one.key, 80)]])),
    preview.covered.length > 0 && [
      h("p", {}, kind === "malicious" ? `Found already in ${plural(preview.incidents, "incident")}:` : `It would have covered ${plural(preview.incidents, "stored incident")}:`),
      h("ul", {}, preview.covered.map((one) => h("li", {}, h("code", {}, one.id), " ", name(one.headline, 160)))),
    ],
  ];
}

function request(page, draft) {
  return {
    incident_id: page.parameters.id,
    kind: draft.kind,
    note: draft.note.trim(),
    author: recall("author") ?? "",
    scopes: draft.kind === "expected" ? (draft.scopes ?? []).filter((scope) => scope.taken).map(({ taken: _, ...scope }) => scope) : [],
    expires_in_seconds: draft.kind === "expected" ? String(draft.days * DAY) : "0",
  };
}

/** Asks what would follow; the first answer also proposes the scopes. */
function preview(page, pause) {
  const { draft } = page.state;
  clearTimeout(draft.timer);
  if (draft.scopes && !draft.scopes.some((scope) => scope.taken)) {
    draft.error = "Choose at least one thing that is expected.";
    page.update();
    return;
  }
  draft.timer = setTimeout(async () => {
    const asked = JSON.stringify(draft.scopes);
    let answer = null;
    let problem = "";
    try {
      answer = await post("verdicts/preview", { ...request(page, draft), note: draft.note.trim() || "-" }, page.parameters.id);
    } catch (error) {
      problem = error.message;
    }
    if (page.state.draft !== draft || JSON.stringify(draft.scopes) !== asked) return;
    draft.preview = answer;
    draft.error = problem;
    if (answer && draft.kind === "expected") draft.scopes ??= answer.scopes.map((scope) => ({ ...scope, taken: true }));
    page.update();
  }, pause);
}

async function give(page, draft) {
  page.update({ draft: Object.assign(draft, { busy: true }) });
  try {
    const verdict = await post("verdicts", request(page, draft), page.parameters.id);
    // It can be taken back at once, not only when the page has been loaded anew.
    page.data.detail.verdicts.push(verdict);
    page.update({ draft: null, said: [h("strong", {}, `Recorded: ${verdict.kind}. `), "Press ", h("kbd", {}, "z"), " to take it back."] });
    document.getElementById(`verdict-${verdict.kind}`)?.focus();
    await page.reload();
  } catch (error) {
    page.update({ draft: Object.assign(draft, { busy: false, error: error.message }) });
  }
}
