// The README's pictures: what `sekisho demo --console` shows once everything is played.

import { createRequire } from "node:module";

const [, , folder] = process.argv;
const { CONSOLE } = process.env;
const require = createRequire(`${process.env.NODE_HOME}/`);
const { chromium } = require("playwright-core");

const first = async (path, items) => (await (await fetch(`${CONSOLE}/api/v1/${path}`)).json())[items][0].id;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
for (const [name, place, theme, height] of [
  ["fleet", "/", "light", 1_180],
  ["incident", `/incidents/${await first("incidents?function=search-flights&tier=page", "incidents")}`, "light", 1_000],
  ["function", `/functions/${await first("functions?name=reserve-booking", "functions")}`, "dark", 900],
]) {
  const page = await browser.newPage({ viewport: { width: 1_280, height }, colorScheme: theme, reducedMotion: "reduce" });
  await page.goto(`${CONSOLE}/#${place}`);
  await page.locator("main[aria-busy=false] h1").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  await page.screenshot({ path: `${folder}/console-${name}.png` });
}
await browser.close();
