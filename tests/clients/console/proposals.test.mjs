// Strong actions: the page shows exactly what would be executed and never executes it at one stroke. The gateway of this
// test has no escalation, so what it would answer is said here.

import assert from "node:assert/strict";
import { test } from "node:test";

import { open, press, tabTo } from "./browser.mjs";
import { HOSTILE } from "./telemetry.mjs";

const COMMAND = "aws lambda put-function-concurrency --function-name 'reserve-seat' --reserved-concurrent-executions 0";

/** Answers for the gateway; returns what was decided. */
async function answered(page, proposals) {
  const decided = [];
  await page.route("**/api/v1/proposals?*", (route) => route.fulfill({ json: { proposals, next_page_token: "", total: proposals.length } }));
  await page.route("**/api/v1/proposals/*/decide", (route) => {
    const id = route.request().url().match(/proposals\/([^/]+)\/decide/)[1];
    decided.push({ id, ...route.request().postDataJSON() });
    const one = proposals.find((each) => each.id === id);
    one.state = decided.at(-1).approve ? "approved" : "rejected";
    return route.fulfill({ json: one });
  });
  return decided;
}

function proposal(changes) {
  return {
    id: "pro-0000000001", incident_id: "inc-0000000001", component: "escalation/aws", stage: "act", action: "quarantine",
    reason: "The function sends data to a new external destination.", command: COMMAND, state: "waiting",
    made: "1781017374698588349", expires: "1781020974698588349", decided: "0", done: "0", decided_by: "", note: "", dry_run: false, outcome: "",
    ...changes,
  };
}

test("approving takes two steps, shows the exact command, and can be done with the keyboard", async (t) => {
  const page = await open(t, "/");
  const decided = await answered(page, [proposal(), proposal({ id: "pro-0000000002", state: "executed", done: "1781017400000000000", outcome: "concurrency is 0" })]);
  await press(page, "g", "p");
  await page.getByText("1 proposal to decide").waitFor();
  assert.equal(await page.locator("pre").first().textContent(), COMMAND);
  await press(page, "j");
  await tabTo(page, "Approve…");
  await press(page, "Enter");
  await page.getByText("Execute it").waitFor();
  assert.deepEqual(decided, [], "one stroke executes nothing");
  await page.keyboard.type("agreed with the owner");
  await tabTo(page, "Execute it");
  await press(page, "Enter");
  await page.getByText("1 proposal to decide").waitFor({ state: "detached" });
  assert.deepEqual(decided, [{ id: "pro-0000000001", approve: true, author: "", note: "agreed with the owner" }]);
});

test("rejecting asks why, and a dry run says that it is one", async (t) => {
  const page = await open(t, "/");
  const decided = await answered(page, [proposal({ dry_run: true, command: HOSTILE.image, reason: HOSTILE.script })]);
  await press(page, "g", "p");
  await page.getByText("dry run").waitFor();
  assert.equal(await page.locator("pre").textContent(), HOSTILE.image);
  await page.getByRole("button", { name: "Reject…" }).click();
  await page.keyboard.type("a test of ours");
  await press(page, "Enter");
  await page.getByText("1 proposal to decide").waitFor({ state: "detached" });
  assert.deepEqual(decided, [{ id: "pro-0000000001", approve: false, author: "", note: "a test of ours" }]);
});
