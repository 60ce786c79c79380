// From an attack to what a person says of it. Runs first: it begins with a gateway that knows nothing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { api, loaded, open, press, tabTo } from "./browser.mjs";
import { replay } from "./telemetry.mjs";

const RECORDING = process.env.RECORDING;

/** Presses `j` until the row that has the focus names `text`. */
async function rowTo(page, text) {
  for (let i = 0; i < 50; i++) {
    const row = await page.evaluate(() => (document.activeElement.matches("a.row") ? document.activeElement.textContent : ""));
    if (row.includes(text)) return;
    await page.keyboard.press("j");
  }
  assert.fail(`no row names ${text}`);
}

test("a gateway that has seen nothing says what to do", async (t) => {
  const page = await open(t, "/");
  await page.getByText("No telemetry has arrived yet").waitFor();
  await page.getByText("OTEL_EXPORTER_OTLP_ENDPOINT").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
});

test("the attack appears by itself and is answered with the keyboard alone", async (t) => {
  const page = await open(t, "/incidents");
  await page.getByText("Nothing is open").waitFor();
  await replay(RECORDING);

  // It comes up without being asked for, and is said to who does not see.
  await page.locator("tr", { hasText: "reserve-seat" }).filter({ hasText: "Page" }).first().waitFor();
  await page.locator("#announcement", { hasText: /incident, page: reserve-seat/i }).waitFor({ state: "attached" });
  await page.waitForFunction(() => /^\(\d+\) Incidents/.test(document.title));

  await press(page, "g", "h");
  await page.getByRole("heading", { name: "Fleet" }).waitFor();
  await press(page, "g", "i");
  await page.getByRole("heading", { name: "Incidents", level: 1 }).waitFor();
  await rowTo(page, "reserve-seat");
  await press(page, "Enter");
  await loaded(page);
  await page.getByText("Why we think so").waitFor();
  const [, id] = page.url().match(/incidents\/(inc-[0-9a-f]{10})$/);

  // One screen: what, where, since when, why, how sure, what it could reach, what to do.
  const { incident, evidence, advice, counterfactual, abnormal, normal } = await api(`incidents/${id}`);
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), incident.headline);
  const rows = page.locator(".evidence tbody tr");
  assert.equal(await rows.count(), evidence.length);
  assert.ok((await rows.allTextContents()).some((row) => row.includes("attacker.example")));
  for (const text of [advice, counterfactual, "How sure we are", "What it could reach"]) {
    assert.ok((await page.locator("main").textContent()).includes(text), text);
  }
  const twins = page.locator(".twins > div");
  assert.equal(await twins.nth(0).locator("li").count(), abnormal.spans.length);
  assert.equal(await twins.nth(1).locator("li").count(), normal.spans.length);
  assert.ok((await twins.nth(0).locator("li.marked").count()) > 0, "the span that shows it is marked");

  // Expected: the exception is seen before it is made.
  await press(page, "e");
  await page.keyboard.type("the new loyalty export, see CHG-1042");
  const confirm = page.getByRole("button", { name: "Confirm: expected" });
  await confirm.and(page.locator(":enabled")).waitFor();
  assert.ok((await page.locator(".preview").textContent()).includes("covers this incident"));
  assert.equal((await api("verdicts")).total, 0, "a preview changes nothing");
  await tabTo(page, "Confirm: expected");
  await press(page, "Enter");
  await page.getByText("Recorded: expected").waitFor();
  const [expected] = (await api("verdicts")).verdicts;
  assert.equal(expected.kind, "expected");
  assert.equal(expected.incident_id, id);
  assert.equal(expected.note, "the new loyalty export, see CHG-1042");
  assert.equal(expected.state, "active");
  assert.ok(expected.scopes.length > 0 && BigInt(expected.expires) > BigInt(expected.given));

  // It was not: taken back, and said again.
  await press(page, "z");
  await page.getByText("The verdict is taken back").waitFor();
  assert.equal((await api("verdicts")).verdicts.find(({ id }) => id === expected.id).state, "undone");
  await press(page, "m");
  await page.getByRole("button", { name: "Confirm: malicious" }).and(page.locator(":enabled")).waitFor();
  await page.keyboard.type("nobody ordered an export");
  await page.keyboard.press("Control+Enter");
  await page.getByText("Recorded: malicious").waitFor();
  const verdicts = (await api(`verdicts?incident_id=${id}`)).verdicts;
  assert.deepEqual(verdicts.map(({ kind, state }) => `${kind} ${state}`), ["malicious active", "expected undone"]);

  // The list of everything that was said has both.
  await press(page, "g", "a");
  await page.getByRole("heading", { name: "Verdicts", level: 1 }).waitFor();
  await page.getByText("nobody ordered an export").waitFor();
  await page.getByText("see CHG-1042").waitFor();
});

test("an exception can be narrowed before it is made, and left again", async (t) => {
  const page = await open(t, "/incidents?state=all");
  await rowTo(page, "reserve-seat");
  await press(page, "Enter");
  await page.getByText("Why we think so").waitFor();
  await press(page, "e");
  await page.getByText("What is expected").waitFor();
  const boxes = page.locator(".scope > div > input[type=checkbox]");
  const count = await boxes.count();
  assert.ok(count > 1);
  for (let i = 0; i < count; i++) await boxes.nth(i).uncheck();
  await page.getByText("Choose at least one").waitFor();
  await boxes.nth(count - 1).check();
  await page.getByText("does not cover this incident").waitFor();
  await press(page, "Escape");
  assert.equal(await page.locator(".verdict form").count(), 0);
});

test("a function's normal is drawn and listed", async (t) => {
  const page = await open(t, "/functions");
  await press(page, "/");
  await page.keyboard.type("reserve");
  await page.waitForFunction(() => document.querySelectorAll("main a.row").length === 1);
  assert.match(page.url(), /name=reserve/);
  await page.getByRole("heading", { level: 1 }).focus();
  await press(page, "j", "Enter");
  await page.getByRole("heading", { name: "reserve-seat" }).waitFor();
  const { functions } = await api("functions?name=reserve");
  const detail = await api(`functions/${functions[0].id}`);
  assert.ok(detail.operations.length > 0 && detail.destinations.length > 0 && detail.distributions.length > 0);
  const text = await page.locator("main").textContent();
  for (const key of [...detail.operations, ...detail.destinations].slice(0, 6)) assert.ok(text.includes(key.name), key.name);
  assert.equal(await page.locator("svg.histogram").count(), detail.distributions.length);
  assert.ok((await page.locator(".graph .node").count()) > 2);
});

test("sorting is a key away and stays in the address", async (t) => {
  const page = await open(t, "/functions");
  await press(page, "s");
  const names = await page.locator("main a.row").allTextContents();
  assert.deepEqual(names, [...names].sort((a, b) => a.localeCompare(b)));
  assert.match(page.url(), /sort=name/);
  assert.equal(await page.locator('th[aria-sort="ascending"]').count(), 1);
});

test("an incident that is not there says so", async (t) => {
  const page = await open(t, "/incidents/inc-0000000000", { expected: /status of 404/ });
  await page.getByRole("alert").waitFor();
  await page.getByText("retention").waitFor();
});
