// What is around every view: where one can go, how many incidents wait, whether the page is live.

import { h, patch, svg } from "./dom.js";
import { count } from "./format.js";
import { link, place } from "./router.js";
import { theme } from "./theme.js";

const CONNECTION = {
  live: ["Live", "Changes appear by themselves"],
  reconnecting: ["Reconnecting…", "The gateway does not answer; the page goes on trying"],
  refused: ["Signed out", "Sign in to see changes as they happen"],
};

export function drawFrame(frame, on) {
  const waiting = frame.fleet?.waiting_proposals ?? 0;
  const pages = frame.fleet?.open_pages ?? 0;
  const here = place().parts[0] ?? "";
  const entry = (name, text, extra) =>
    h("li", {}, h("a", { href: link(name === "" ? [] : [name]), "aria-current": here === name ? "page" : null }, text, extra));
  patch(
    document.getElementById("header"),
    h("a.brand", { href: "#/", "aria-label": "Sekisho, the fleet" }, gate(), "Sekisho"),
    h(
      "nav",
      { "aria-label": "Main" },
      h(
        "ul",
        {},
        entry("", "Fleet"),
        entry("incidents", "Incidents", pages > 0 && pin(pages, "open pages")),
        entry("functions", "Functions"),
        entry("proposals", "Proposals", waiting > 0 && pin(waiting, "wait for an answer")),
        entry("activity", "Verdicts"),
      ),
    ),
    h("div.tools", {}, connection(frame.connection), themeButton(on), h("button.plain", { type: "button", onclick: () => on.help(), "aria-label": "Show all keys" }, h("kbd", {}, "?"))),
  );
}

function connection(state) {
  const [text, why] = CONNECTION[state];
  return h(`span.connection.${state}`, { title: why, role: "status" }, text);
}

function themeButton(on) {
  return h("button.plain", { type: "button", onclick: () => on.theme(), title: "Light, dark, or as the system has it", "aria-label": `Theme: ${theme()}` }, `◐ ${theme()}`);
}

function pin(number, what) {
  return h("span.pin", {}, count(number), h("span.unseen", {}, ` ${what}`));
}

function gate() {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", "aria-hidden": "true" },
    svg("rect", { width: 32, height: 32, rx: 7 }),
    svg("path", { d: "M4 9c8 2 16 2 24 0M6 14h20M10 9v18M22 9v18" }),
  );
}
