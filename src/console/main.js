// The console: which view is on, what is in the frame around it, and what happens when the gateway says something.

import { get, open } from "./api.js";
import { stay } from "./events.js";
import { drawFrame } from "./frame.js";
import { showHelp } from "./help.js";
import { addKeys, listen } from "./keys.js";
import { Page } from "./page.js";
import { go, place } from "./router.js";
import { askToken } from "./sign_in.js";
import { applyTheme, nextTheme } from "./theme.js";
import { short } from "./untrusted.js";
import { activity } from "./views/activity.js";
import { fleet } from "./views/fleet.js";
import { functionView } from "./views/function.js";
import { functions } from "./views/functions.js";
import { incident } from "./views/incident.js";
import { incidents } from "./views/incidents.js";
import { missing } from "./views/missing.js";
import { proposals } from "./views/proposals.js";

/** What is at which place; a part that begins with a colon is a parameter. */
const PLACES = [
  [[], fleet],
  [["incidents"], incidents],
  [["incidents", ":id"], incident],
  [["functions"], functions],
  [["functions", ":id"], functionView],
  [["proposals"], proposals],
  [["activity"], activity],
];

/** What is around the view follows so late, milliseconds. */
const FRAME = 500;

/** Incidents remembered as said. */
const ANNOUNCED = 1_000;

const main = document.getElementById("main");
const announcement = document.getElementById("announcement");

/** What the frame shows of the fleet, and the state of the connection. */
const frame = { fleet: null, connection: "reconnecting" };

let page = null;
let dropKeys = () => {};
let stopEvents = () => {};

let loading = null;
const announced = new Set();

const shell = { signIn: () => askToken(restart), titled };

function show() {
  const { parts } = place();
  const [view, parameters] = found(parts);
  page?.end();
  dropKeys();
  page = new Page(view, parameters, main, shell);
  const shown = page;
  dropKeys = view.keys ? addKeys(view.keysTitle, view.keys(shown)) : () => {};
  draw();
}

/** What the browser's tab says: how many pages are open, and what this is. */
function titled(title) {
  const pages = frame.fleet?.open_pages ?? 0;
  document.title = `${pages > 0 ? `(${pages}) ` : ""}${title} · Sekisho`;
}

/** A new place is read from its heading on. */
function arrive() {
  show();
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function found(parts) {
  for (const [pattern, view] of PLACES) {
    if (pattern.length !== parts.length) continue;
    const parameters = {};
    const fits = pattern.every((wanted, i) => {
      if (!wanted.startsWith(":")) return wanted === parts[i];
      parameters[wanted.slice(1)] = parts[i];
      return true;
    });
    if (fits) return [view, parameters];
  }
  return [missing, {}];
}

async function loadFrame() {
  loading = null;
  try {
    frame.fleet = await get("fleet");
  } catch {
    // The view says what is wrong.
  }
  draw();
}

function draw() {
  if (page) titled(page.title);
  drawFrame(frame, { theme: () => draw(nextTheme()), help: showHelp });
}

function onEvent({ data }) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    return;
  }
  page?.event(event);
  if (event.kind === "fleet") {
    frame.fleet = event.fleet;
    draw();
  } else {
    loading ??= setTimeout(loadFrame, FRAME);
  }
  if (event.kind === "incident") announce(event.incident);
}

/** Says an open incident once. */
function announce({ id, state, tier, headline }) {
  if (state !== "open" || announced.has(id)) return;
  if (announced.size >= ANNOUNCED) announced.clear();
  announced.add(id);
  announcement.textContent = `Incident, ${tier}: ${short(headline)}`;
}

/** Connects. What happened before the stream began is not in it: once it is there, everything is loaded anew. */
function start() {
  stopEvents = stay((signal) => open("watch", {}, signal), {
    event: onEvent,
    state: (state) => {
      frame.connection = state;
      if (state === "live") {
        page?.reload();
        loadFrame();
      }
      draw();
    },
  });
}

/** Connects again, with what a person signed in with. */
function restart() {
  stopEvents();
  start();
  page?.reload();
}

applyTheme();
addKeys("Everywhere", [
  ["?", "show all keys", () => showHelp()],
  ["g h", "go home: the fleet", () => go([])],
  ["g i", "go to the incidents", () => go(["incidents"])],
  ["g f", "go to the functions", () => go(["functions"])],
  ["g p", "go to the proposals", () => go(["proposals"])],
  ["g a", "go to verdicts and exceptions", () => go(["activity"])],
  ["t", "light, dark, or as the system has it", () => draw(nextTheme())],
  ["r", "load anew", () => page?.reload()],
]);
listen();
document.getElementById("skip").onclick = () => main.focus();
window.addEventListener("hashchange", arrive);
show();
start();
