// The parts that decide something, as the gateway serves them, in the browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HOSTILE } from "./telemetry.mjs";
import { open } from "./browser.mjs";

test("numbers and times are short and say no more than is known", async (t) => {
  const page = await open(t, "/");
  const said = await page.evaluate(async () => {
    const format = await import("/format.js");
    const at = (seconds) => String(BigInt(1_700_000_000 - seconds) * 1_000_000_000n);
    return {
      utc: format.utc("1781017374698588349"),
      never: [format.utc("0"), format.utc(""), format.utc("18446744073709551615"), format.utc("x")],
      relative: [0, 59, 61, 7_300, 90_000].map((seconds) => format.relative(at(seconds), 1_700_000_000_000)),
      future: format.relative(at(-3_700), 1_700_000_000_000),
      durations: [0, 12.34, 999, 1_000, 412_000, 9_800_000, 90e6, 7_200e6].map(format.duration),
      shares: [[0, 5], [1, 100_000], [99_999, 100_000], [5, 5], [1, 0]].map(([part, all]) => format.share(part, all)),
      rates: [1, 1 / 7, 4 / 365, 0].map(format.rate),
    };
  });
  assert.deepEqual(said, {
    utc: "2026-06-09 15:02:54 UTC",
    never: ["–", "–", "2554-07-21 23:34:33 UTC", "–"],
    relative: ["just now", "59 seconds ago", "1 minute ago", "2 hours ago", "1 day ago"],
    future: "in 1 hour",
    durations: ["0 µs", "12.3 µs", "999 µs", "1 ms", "412 ms", "9.8 s", "1.5 min", "2.0 h"],
    shares: ["0 %", "< 0.1 %", "> 99.9 %", "100 %", "–"],
    rates: ["1 false page a day", "1 false page a week", "4 false pages a year", "0 false pages a year"],
  });
});

test("events are read whatever pieces they come in", async (t) => {
  const page = await open(t, "/");
  const text = ": hello\n\nevent: incident\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: fleet\r\ndata:x\r\n\r\ndata\n\n";
  const read = await page.evaluate(async (text) => {
    const { EventReader } = await import("/events.js");
    return [1, 2, 5, text.length].map((size) => {
      const reader = new EventReader();
      const events = [];
      for (let i = 0; i < text.length; i += size) events.push(...reader.push(text.slice(i, i + size)));
      return events;
    });
  }, text);
  const expected = [{ name: "incident", data: '{"a":\n1}' }, { name: "fleet", data: "x" }, { name: "message", data: "" }];
  for (const events of read) assert.deepEqual(events, expected);
});

test("a call graph with a circle has callers left of what they call", async (t) => {
  const page = await open(t, "/");
  const drawn = await page.evaluate(async () => {
    const { layers } = await import("/charts/layers.js");
    const nodes = ["b", "a", "c", "d", "alone"].map((id) => ({ id }));
    const edges = [["a", "b"], ["b", "c"], ["a", "d"], ["c", "b"], ["a", "a"], ["a", "nobody"]].map(([from, to]) => ({ from, to }));
    return layers(nodes, edges).map((row) => [...row].sort());
  });
  assert.deepEqual(drawn, [["a", "alone"], ["b", "d"], ["c"]]);
});

test("a waterfall shows every span once, whatever the parents say", async (t) => {
  const page = await open(t, "/");
  const rows = await page.evaluate(async () => {
    const { inOrder } = await import("/charts/waterfall.js");
    const span = (id, parent, startUs) => ({ id, parent, startUs });
    const spans = [span("child", "root", 5), span("root", "", 0), span("orphan", "gone", 1), span("x", "y", 2), span("y", "x", 3), span("self", "self", 4)];
    return inOrder(spans).map(({ span, depth }) => `${depth} ${span.id}`);
  });
  assert.deepEqual(rows, ["0 root", "1 child", "0 orphan", "0 self", "0 x", "0 y"]);
});

test("gaps between buckets are drawn as gaps", async (t) => {
  const page = await open(t, "/");
  const buckets = await page.evaluate(async () => {
    const { filled } = await import("/views/distribution.js");
    return filled([{ up_to: "1", count: 4 }, { up_to: "100", count: 1 }, { up_to: "1000000000000", count: 2 }]);
  });
  assert.equal(buckets[0].count, 4);
  assert.equal(buckets.at(-1).to, 1e12);
  assert.equal(buckets.reduce((sum, { count }) => sum + count, 0), 7);
  for (const [i, { from, to }] of buckets.entries()) {
    assert.ok(from < to, `${from} < ${to}`);
    if (i > 0) assert.equal(from, buckets[i - 1].to);
  }
  assert.ok(buckets.length < 120, `${buckets.length} buckets`);
});

test("elements are made of text only, whatever the text is", async (t) => {
  const page = await open(t, "/");
  const made = await page.evaluate(async (hostile) => {
    const { h } = await import("/dom.js");
    const { value } = await import("/untrusted.js");
    const refused = (run) => {
      try {
        run();
        return "made";
      } catch (error) {
        return error.message;
      }
    };
    const box = h("div", { title: hostile.image }, Object.values(hostile).map((text) => value(text)));
    return {
      elements: [...new Set([...box.querySelectorAll("*")].map((element) => element.localName))].sort(),
      turned: box.textContent.includes("\u202e"),
      link: refused(() => h("a", { href: hostile.link })),
      absolute: refused(() => h("a", { href: "//elsewhere.example" })),
      handler: refused(() => h("p", { onmouseover: "x()" })),
      style: refused(() => h("p", { style: "color: red" })),
    };
  }, HOSTILE);
  assert.deepEqual(made.elements, ["bdi", "details", "span", "summary"]);
  assert.equal(made.turned, false);
  assert.match(made.link, /out of the console/);
  assert.match(made.absolute, /out of the console/);
  assert.match(made.handler, /not set from data/);
  assert.match(made.style, /not set from data/);
});

test("an update keeps the focus, what is open and what is typed", async (t) => {
  const page = await open(t, "/");
  const kept = await page.evaluate(async () => {
    const { h, patch } = await import("/dom.js");
    const box = document.body.appendChild(h("div"));
    const said = [];
    const draw = (rows, version) =>
      patch(box, h("input", { id: "typed" }), rows.map((row) => h("details", { "data-key": row }, h("summary", { onclick: () => said.push(version) }, `${row} ${version}`))));
    draw(["a", "b"], 1);
    const [input, b] = [box.querySelector("input"), box.querySelector("[data-key=b]")];
    input.value = "half a wo";
    b.open = true;
    b.firstChild.focus();
    draw(["new", "b", "a"], 2);
    document.activeElement.click();
    const out = {
      same: box.querySelector("input") === input && box.querySelector("[data-key=b]") === b,
      order: [...box.querySelectorAll("details")].map((row) => row.textContent),
      focused: document.activeElement === b.firstChild,
      typed: input.value,
      said,
    };
    box.remove();
    return out;
  });
  assert.deepEqual(kept, { same: true, order: ["new 2", "b 2", "a 2"], focused: true, typed: "half a wo", said: [2] });
});
