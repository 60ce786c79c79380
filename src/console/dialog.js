// One dialog at a time; the browser keeps the focus in it and gives it back.

import { h } from "./dom.js";

/** Shows `children` under a heading; `fill` gets a function that closes it. */
export function dialog(title, fill) {
  const root = document.getElementById("dialogs");
  if (root.querySelector("dialog[open]")) return;
  const close = () => box.close();
  const box = h("dialog", { "aria-labelledby": "dialog-title", onclose: () => box.remove() }, h("h2", { id: "dialog-title" }, title), fill(close));
  root.append(box);
  box.showModal();
}
