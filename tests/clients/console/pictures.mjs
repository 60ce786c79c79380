// The README's pictures: the recorded attack as it looks while it happens.

import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";

const [, , folder] = process.argv;
const { CONSOLE, OTLP, RECORDING } = process.env;
const require = createRequire(`${process.env.NODE_HOME}/`);
const { chromium } = require("playwright-core");

const TIMES = /"(\w*[tT]imeUnixNano)":"(\d+)"/g;

/** Sends the recording as if it ended now. */
async function play() {
  const lines = execFileSync("zstd", ["-dc", RECORDING], { maxBuffer: 1 << 28, encoding: "utf8" }).trim().split("\n");
  const last = lines.flatMap((line) => [...line.matchAll(TIMES)]).reduce((most, [, , time]) => (BigInt(time) > most ? BigInt(time) : most), 0n);
  const later = BigInt(Date.now()) * 1_000_000n - last;
  for (const line of lines) {
    const body = line.replace(TIMES, (_, key, time) => `"${key}":"${BigInt(time) + later}"`);
    const answer = await fetch(`${OTLP}/v1/traces`, { method: "POST", headers: { "content-type": "application/json" }, body });
    if (!answer.ok) throw new Error(`the gateway does not take telemetry: ${await answer.text()}`);
  }
}

const api = async (path) => (await fetch(`${CONSOLE}/api/v1/${path}`)).json();

await play();
const { incidents } = await api("incidents?function=reserve-seat");
const { functions } = await api("functions?name=reserve-seat");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
for (const [name, place, theme, height] of [
  ["fleet", "/", "light", 690],
  ["incident", `/incidents/${incidents[0].id}`, "light", 1_000],
  ["function", `/functions/${functions[0].id}`, "dark", 860],
]) {
  const page = await browser.newPage({ viewport: { width: 1_280, height }, colorScheme: theme, reducedMotion: "reduce" });
  await page.goto(`${CONSOLE}/#${place}`);
  await page.locator("main[aria-busy=false] h1").waitFor();
  await page.getByText("Live", { exact: true }).waitFor();
  await page.screenshot({ path: `${folder}/console-${name}.png` });
}
await browser.close();
