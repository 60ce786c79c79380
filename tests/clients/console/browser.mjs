// Chromium on the console, and everything that must not happen while it is there.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after } from "node:test";

const require = createRequire(`${process.env.NODE_HOME}/`);
const { chromium } = require("playwright-core");

/** Where the console is. */
export const CONSOLE = process.env.CONSOLE;
/** How long anything may take on a loaded machine, milliseconds. */
export const PATIENCE = 30_000;

let browser = null;
after(() => browser?.close());

/**
 * A page at `place`, such as `/incidents`. When the test ends: nothing was asked of another origin, nothing broke the
 * policy, nothing was written to the console as a warning or error (but what `expected` matches), no script failed.
 */
export async function open(t, place, { theme = "light", width = 1280, height = 900, expected = null } = {}) {
  browser ??= await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce" });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  const fault = (text) => expected?.test(text) || faults.push(text);
  page.on("request", (request) => new URL(request.url()).origin === new URL(CONSOLE).origin || fault(`asked ${request.url()}`));
  page.on("console", (message) => ["warning", "error"].includes(message.type()) && fault(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => fault(`script: ${error.stack}`));
  page.on("dialog", (dialog) => {
    fault(`a dialog of the browser: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(faults, []);
  });
  await page.goto(`${CONSOLE}/#${place}`);
  await loaded(page);
  return page;
}

/** Goes to another place of the same page. */
export async function go(page, place) {
  await page.evaluate((hash) => (location.hash = hash), `#${place}`);
  await loaded(page);
}

export async function loaded(page) {
  await page.locator("main[aria-busy=false] h1").waitFor();
}

/** Presses keys one after the other, as fingers do. */
export async function press(page, ...keys) {
  for (const key of keys) await page.keyboard.press(key);
}

/** Tabs on until what is focused has `text`; nothing but the keyboard may be needed to get there. */
export async function tabTo(page, text) {
  for (let i = 0; i < 120; i++) {
    const focused = await page.evaluate(() => document.activeElement?.textContent ?? "");
    if (focused.startsWith(text)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`Tab never reaches "${text}"`);
}

/** What the API says, beside what the page shows. */
export async function api(path) {
  const answer = await fetch(`${CONSOLE}/api/v1/${path}`);
  assert.equal(answer.status, 200, path);
  return answer.json();
}
