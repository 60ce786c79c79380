// Every view, light and dark, wide and narrow, for people who do not see it, do not use a mouse or want no motion.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import { api, go, loaded, open, press } from "./browser.mjs";

const require = createRequire(`${process.env.NODE_HOME}/`);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const SCREENS = [
  { theme: "light", width: 1360, height: 900 },
  { theme: "dark", width: 1360, height: 900 },
  { theme: "light", width: 390, height: 800 },
  { theme: "dark", width: 390, height: 800 },
];

/** What axe finds wrong, as `rule: element`. */
async function violations(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.flatMap(({ id, impact, nodes }) => nodes.map(({ target, failureSummary }) => `${where}: ${impact} ${id}: ${target.join(" ")}: ${failureSummary}`));
}

for (const screen of SCREENS) {
  test(`every view holds WCAG AA: ${screen.theme}, ${screen.width} wide`, async (t) => {
    const page = await open(t, "/", screen);
    const { incidents } = await api("incidents");
    const { functions } = await api("functions");
    assert.ok(incidents.length > 0 && functions.length > 0);
    const found = [];
    for (const place of ["/", "/incidents", "/incidents?state=all", "/functions", `/functions/${functions[0].id}`, "/proposals", "/activity", "/nowhere", `/incidents/${incidents[0].id}`]) {
      await go(page, place);
      found.push(...(await violations(page, place)));
      const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      if (wide > room) found.push(`${place}: scrolls sideways, ${wide} of ${room}`);
    }
    await press(page, "e");
    await page.getByRole("button", { name: "Confirm: expected" }).and(page.locator(":enabled")).waitFor();
    found.push(...(await violations(page, "exception preview")));
    await press(page, "Escape", "?");
    await page.getByRole("dialog").waitFor();
    found.push(...(await violations(page, "keys")));
    assert.deepEqual(found, []);
  });
}

test("each view has one heading, landmarks, and a title of its own", async (t) => {
  const page = await open(t, "/");
  const titles = new Set();
  for (const place of ["/", "/incidents", "/functions", "/proposals", "/activity"]) {
    await go(page, place);
    assert.equal(await page.locator("h1").count(), 1, place);
    for (const landmark of ["banner", "navigation", "main"]) assert.equal(await page.getByRole(landmark).count(), 1, `${place} ${landmark}`);
    assert.equal(await page.locator('nav [aria-current="page"]').count(), 1, place);
    titles.add(await page.title());
  }
  assert.equal(titles.size, 5);
});

test("what has the focus is seen to have it", async (t) => {
  const page = await open(t, "/incidents");
  for (let i = 0; i < 25; i++) {
    await page.keyboard.press("Tab");
    const ring = await page.evaluate(() => {
      const { activeElement } = document;
      return activeElement === document.body ? "solid 2px" : `${getComputedStyle(activeElement).outlineStyle} ${getComputedStyle(activeElement).outlineWidth} ${activeElement.outerHTML.slice(0, 80)}`;
    });
    assert.match(ring, /^solid [2-9]px/);
  }
});

test("who wants no motion gets none, who wants dark gets dark and keeps it", async (t) => {
  const page = await open(t, "/", { theme: "light" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const moving = await page.evaluate(() => document.getAnimations().length);
  assert.equal(moving, 0);
  const light = await ground();
  const theme = page.getByRole("button", { name: /^Theme/ });
  await theme.click();
  await theme.click();
  assert.match(await theme.textContent(), /dark/);
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  await loaded(page);
  assert.equal(await ground(), dark);
});

test("single keys can be switched off, and never act while somebody types", async (t) => {
  const page = await open(t, "/incidents");
  await press(page, "/");
  await page.keyboard.type("gf?");
  assert.equal(await page.locator("#search").inputValue(), "gf?");
  assert.equal(await page.getByRole("dialog").count(), 0);
  await page.locator("#search").fill("");
  await page.getByRole("heading", { level: 1 }).focus();
  await press(page, "?");
  await page.getByRole("checkbox").uncheck();
  await press(page, "Escape", "?");
  assert.equal(await page.getByRole("dialog").count(), 0);
  await press(page, "g", "f");
  assert.match(page.url(), /#\/incidents/);
});
