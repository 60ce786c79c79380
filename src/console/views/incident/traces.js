// The abnormal invocation beside its normal twin, on one scale.

import { lengthOf, waterfall } from "../../charts/waterfall.js";
import { h } from "../../dom.js";
import { duration, plural } from "../../format.js";
import { functionLink, panel, time } from "../../marks.js";
import { value } from "../../untrusted.js";

export function tracesPanel({ abnormal, normal }) {
  const [strange, usual] = [spansOf(abnormal), spansOf(normal)];
  const ordinary = new Set(usual.map((span) => span.name));
  for (const span of strange) {
    if (usual.length > 0 && !ordinary.has(span.name)) span.flags.push("only here");
  }
  const length = Math.max(lengthOf(strange), lengthOf(usual));
  return panel(
    "The invocation beside an ordinary one",
    { "data-key": "traces" },
    h(
      "div.twins",
      {},
      side("This invocation", abnormal, strange, length, "Its spans were gone when the incident was told. The trace store may have them under its id."),
      side("A normal twin", normal, usual, length, "No ordinary invocation of this function is remembered yet."),
    ),
  );
}

function side(title, trace, spans, length, without) {
  return h(
    "div",
    {},
    h("h3", {}, title),
    trace
      ? [
          h("p.note", {}, time(trace.start), `, ${duration(Number(trace.duration) / 1_000)}`, trace.function && [", ", functionLink(trace.function)], trace.trace_id && [", trace ", value(trace.trace_id, 40)]),
          waterfall(title, spans, length),
          trace.omitted > 0 && h("p.note", {}, `${plural(trace.omitted, "more span")} left out for lack of room.`),
        ]
      : h("p.empty", {}, without),
  );
}

/** Spans as the waterfall wants them, relative to the trace's start. */
function spansOf(trace) {
  if (!trace) return [];
  const begin = BigInt(trace.start);
  return trace.spans.map((span) => ({
    id: span.span_id,
    parent: span.parent_span_id,
    name: span.name,
    startUs: Number(BigInt(span.start) - begin) / 1_000,
    durationUs: Number(BigInt(span.duration)) / 1_000,
    error: span.status === "error",
    marked: span.evidence,
    flags: [span.evidence && "evidence", span.status === "error" && "error"].filter(Boolean),
    attributes: [["service", span.service], ["kind", span.kind], ["status", span.status_message], ...span.attributes.map(({ key, value: text }) => [key, text])].filter(([, text]) => text !== ""),
  }));
}
