// A console that asks who is there: signing in with a token, and the signed link that an alert carries.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CONSOLE, loaded, open, press } from "./browser.mjs";
import { replay } from "./telemetry.mjs";

const TOKEN = process.env.TOKEN;
/** What Chromium writes for each answer that is 401 or 403. */
const expected = /status of 40[13]/;

const signed = async (path) => (await fetch(`${CONSOLE}/api/v1/${path}`, { headers: { authorization: `Bearer ${TOKEN}` } })).json();

async function signIn(page, token) {
  await page.getByLabel("Token").fill(token);
  await press(page, "Enter");
}

test("nothing is shown before somebody signs in, and the token lives no longer than the tab", async (t) => {
  assert.equal((await fetch(`${CONSOLE}/api/v1/fleet`)).status, 401);
  const page = await open(t, "/", { expected });
  await page.getByRole("dialog").waitFor();
  assert.ok((await page.locator("main").textContent()).includes("Sign in"));
  await signIn(page, "not the token");
  await page.getByText("That token was not accepted").waitFor();
  await signIn(page, TOKEN);
  await page.getByRole("heading", { name: "Promise" }).waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Promise" }).waitFor();
  assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes(TOKEN));
});

test("the link of an alert opens its own incident, takes a verdict, and nothing else", async (t) => {
  await replay(process.env.RECORDING);
  const { incidents } = await signed("incidents?function=reserve-seat");
  const [{ id, link, headline }] = incidents;
  const place = link.slice(CONSOLE.length + 2);
  const page = await open(t, place, { expected });
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), headline);
  assert.ok(!page.url().includes("link="), "the token is not left in the address");
  assert.equal(await page.getByRole("dialog").count(), 0);

  await press(page, "u");
  await page.keyboard.type("asked the owner, waiting");
  await page.getByRole("button", { name: "Confirm: unsure" }).and(page.locator(":enabled")).click();
  await page.getByText("Recorded: unsure").waitFor();
  const [verdict] = (await signed(`verdicts?incident_id=${id}`)).verdicts;
  assert.deepEqual([verdict.kind, verdict.note, verdict.author], ["unsure", "asked the owner, waiting", "link"]);

  await page.evaluate(() => (location.hash = "#/incidents"));
  await page.getByRole("dialog").waitFor();
  await press(page, "Escape");
  await page.evaluate((id) => (location.hash = `#/incidents/${id}`), id);
  await loaded(page);
  assert.equal(await page.getByRole("heading", { level: 1 }).textContent(), headline);
});

test("a link that was changed opens nothing", async (t) => {
  const { incidents } = await signed("incidents?function=reserve-seat");
  const place = incidents[0].link.slice(CONSOLE.length + 2);
  const page = await open(t, `${place.slice(0, -6)}AAAAAA`, { expected });
  await page.getByRole("dialog").waitFor();
  assert.equal(await page.getByText("Why we think so").count(), 0);
});
