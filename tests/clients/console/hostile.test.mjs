// Names and values that an attacker wrote are text and stay text, wherever they show up; and a gateway that is gone is
// said to be gone.

import assert from "node:assert/strict";
import { test } from "node:test";

import { api, go, loaded, open, press, PATIENCE } from "./browser.mjs";
import { HOSTILE, invoke } from "./telemetry.mjs";

/** The recorded function that becomes hostile; its account is in the ARNs that the recorded handlers have. */
const FAAS = { name: "collect-payment", resource: { "cloud.account.id": "123456789012" } };

/** Everything at once, in each place telemetry has for it. */
function hostileCalls() {
  const all = Object.values(HOSTILE).join(" ");
  return [
    { name: HOSTILE.script, attributes: { "rpc.system": "aws-api", "rpc.service": `Evil${HOSTILE.script}`, "rpc.method": `Take${HOSTILE.turned}`, note: HOSTILE.long } },
    { name: `POST ${HOSTILE.image}`, attributes: { "http.request.method": "POST", "server.address": `drop.${HOSTILE.image}.example`, "url.full": HOSTILE.link, [`key${HOSTILE.script}`]: all } },
    { name: HOSTILE.turned, attributes: { "db.system.name": "dynamodb", "db.operation.name": `Scan${HOSTILE.template}`, "db.collection.name": HOSTILE.script } },
  ];
}

async function hostileIncident() {
  const { functions } = await api(`functions?name=${FAAS.name}`);
  assert.equal(functions.length, 1);
  const [known] = functions;
  const at = BigInt(known.last_seen) + 5_000_000_000n;
  await invoke({ ...FAAS, version: known.version }, at, hostileCalls());
  // The next ordinary invocation lets event time pass, so that the one before is over.
  await invoke({ ...FAAS, version: known.version }, at + 3_600_000_000_000n, []);
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const { incidents } = await api(`incidents?function=${FAAS.name}`);
    if (incidents.length > 0) return incidents[0];
    assert.ok(Date.now() < deadline, "the hostile invocation became no incident");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test("an incident full of hostile text is shown as text", async (t) => {
  const { id } = await hostileIncident();
  const page = await open(t, `/incidents/${id}`);
  for (const place of [`/incidents/${id}`, "/", "/incidents", "/functions", "/activity"]) {
    await go(page, place);
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    const state = await page.evaluate(() => ({
      title: document.title,
      foreign: document.querySelectorAll("main script, main img, main iframe, main object, main b, main style, #owned").length,
      inline: [...document.querySelectorAll("*")].filter((element) => [...element.attributes].some(({ name }) => name.startsWith("on") || name === "style")).length,
      leaving: [...document.querySelectorAll("a")].filter((link) => !link.getAttribute("href").startsWith("#")).length,
      turning: /[\u202a-\u202e\u2066-\u2069\u200e\u200f]/.test(document.body.textContent),
      wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    }));
    assert.doesNotMatch(state.title, /^owned/, place);
    assert.deepEqual({ ...state, title: "" }, { title: "", foreign: 0, inline: 0, leaving: 0, turning: false, wide: false }, place);
  }
  await go(page, `/incidents/${id}`);
  assert.ok((await page.locator("main").textContent()).includes("<script>"), "the text itself is there");
  await press(page, "e");
  await page.locator(".preview strong").waitFor();
  assert.equal(await page.locator("main script, main img").count(), 0);
});

test("the answers carry the policy, and are not to be framed, guessed or kept", async () => {
  for (const path of ["/", "/main.js", "/style/base.css", "/icon.svg"]) {
    const { status, headers } = await fetch(process.env.CONSOLE + path);
    assert.equal(status, 200, path);
    const policy = headers.get("content-security-policy");
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]) {
      assert.ok(policy.includes(part), `${path}: ${part} in ${policy}`);
    }
    assert.doesNotMatch(policy, /unsafe|\*|http:/, path);
    assert.equal(headers.get("x-content-type-options"), "nosniff", path);
  }
});

test("what was loaded stays when the gateway is gone, and is said to be old", async (t) => {
  const page = await open(t, "/incidents", { expected: /Failed to load resource/ });
  const rows = await page.locator("main a.row").count();
  await page.route("**/api/**", (route) => route.abort());
  await press(page, "r");
  await page.getByText("The gateway does not answer").waitFor();
  assert.equal(await page.locator("main a.row").count(), rows);
  await page.unroute("**/api/**");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("The gateway does not answer").waitFor({ state: "detached" });
});

test("a page that cannot reach the gateway says so and comes back by itself", async (t) => {
  const page = await open(t, "/nowhere", { expected: /Failed to load resource/ });
  await page.route("**/api/**", (route) => route.abort());
  await page.reload();
  await page.getByText("Reconnecting…").waitFor();
  await page.evaluate(() => (location.hash = "#/functions"));
  await page.getByRole("alert").waitFor();
  await page.unroute("**/api/**");
  await page.getByText("Live", { exact: true }).waitFor();
  await page.locator("main a.row").first().waitFor();
  await loaded(page);
});
