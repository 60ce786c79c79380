// `?`: what can be pressed here, and how to switch it off.

import { dialog } from "./dialog.js";
import { h } from "./dom.js";
import { keysOn, keyTable, switchKeys } from "./keys.js";

export function showHelp() {
  dialog("Keys", (close) => [
    h(
      "div.keys",
      {},
      keyTable().map(({ title, rows }) =>
        h(
          "section",
          {},
          h("h3", {}, title),
          h("dl", {}, rows.map(({ keys, what }) => h("div", {}, h("dt", {}, keysOf(keys)), h("dd", {}, what)))),
        ),
      ),
    ),
    h(
      "p",
      {},
      h("input", { type: "checkbox", id: "keys-on", checked: keysOn(), onchange: (event) => switchKeys(event.target.checked) }),
      " ",
      h("label.inline", { for: "keys-on" }, "Keys do something. Switch them off if your software types letters by itself."),
    ),
    h("p", {}, h("button.primary", { type: "button", onclick: close }, "Close")),
  ]);
}

function keysOf(keys) {
  return keys.split(" or ").flatMap((one, i) => [i > 0 && " or ", ...one.split(" ").map((key) => [h("kbd", {}, key), " "])]);
}
