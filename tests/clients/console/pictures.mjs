// The README's pictures: what the page shows of the recorded attack.

import { createRequire } from "node:module";

const [, , folder] = process.argv;
const require = createRequire(`${process.env.NODE_HOME}/`);
const { chromium } = require("playwright-core");

const api = async (path) => (await fetch(`${process.env.CONSOLE}/api/v1/${path}`)).json();
const { incidents } = await api("incidents?function=reserve-seat");
const { functions } = await api("functions?name=reserve-seat");

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
for (const [name, place, height] of [["fleet", "/", 620], ["incident", `/incidents/${incidents[0].id}`, 1_240], ["function", `/functions/${functions[0].id}`, 900]]) {
  const page = await browser.newPage({ viewport: { width: 1_280, height }, colorScheme: "light", reducedMotion: "reduce" });
  await page.goto(`${process.env.CONSOLE}/#${place}`);
  await page.locator("main[aria-busy=false] h1").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  await page.screenshot({ path: `${folder}/console-${name}.png` });
}
await browser.close();
