// What the gateway is told: a recording in which a function turns, and an invocation full of hostile text.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";

const MILLISECOND = 1_000_000n;

/** Plays a recording into the gateway with `sekisho replay`. */
export async function replay(recording) {
  const { stdout } = await promisify(execFile)(process.env.SEKISHO, ["replay", "--config", process.env.FORWARD, recording]);
  assert.match(stdout, /^replayed/m);
}

const text = (key, value) => ({ key, value: { stringValue: value } });
const hex = (bytes) => randomBytes(bytes).toString("hex");

/** One invocation of `faas` at `at`, which calls what `calls` (`{ name, attributes }`) say; delivered over OTLP. */
export async function invoke(faas, at, calls) {
  const [traceId, root] = [hex(16), hex(8)];
  const span = (i, name, kind, parentSpanId, attributes) => ({
    traceId,
    spanId: parentSpanId ? hex(8) : root,
    parentSpanId,
    name,
    kind,
    startTimeUnixNano: String(at + BigInt(i) * 20n * MILLISECOND),
    endTimeUnixNano: String(at + BigInt(parentSpanId ? i + 1 : calls.length + 1) * 20n * MILLISECOND),
    attributes,
  });
  const spans = [
    span(0, faas.name, 2, "", [text("faas.invocation_id", hex(8)), text("faas.trigger", "http")]),
    ...calls.map(({ name, attributes }, i) => span(i, name, 3, root, Object.entries(attributes).map(([key, value]) => text(key, value)))),
  ];
  const resource = { attributes: Object.entries({ "cloud.provider": "aws", "cloud.platform": "aws_lambda", "cloud.region": "eu-west-1", "faas.name": faas.name, "faas.version": faas.version, ...faas.resource }).map(([key, value]) => text(key, value)) };
  const answer = await fetch(`${process.env.OTLP}/v1/traces`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "test" }, spans }] }] }),
  });
  assert.equal(answer.status, 200, await answer.text());
}

/** Text that wants to be markup, to run, to turn around, and to be very long. */
export const HOSTILE = {
  script: "<script>document.title='owned'</script>",
  image: "<img src=x onerror=\"document.title='owned'\">",
  link: "javascript:document.title='owned'",
  turned: "invoice\u202egnp.exe\u2066\u200f",
  long: `${"A".repeat(10_240)}<b id=owned>`,
  template: "{{constructor.constructor('document.title=1')()}} ${1}",
};
