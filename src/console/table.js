// Tables that are cards on a narrow screen. The roles are said because such a layout takes them away.

import { h } from "./dom.js";

/** A table under an unseen `caption`; `heads` are texts or cells made with `th`, `rows` made with `tr`. */
export function table(caption, heads, rows, classes = "") {
  return h(
    `table.list${classes}`,
    { role: "table" },
    h("caption.unseen", {}, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((head) => (head instanceof Node ? head : th("", {}, head))))),
    h("tbody", { role: "rowgroup" }, rows),
  );
}

export const th = (classes, attributes, ...children) => h(`th${classes}`, { scope: "col", role: "columnheader", ...attributes }, ...children);

export const tr = (classes, attributes, ...cells) => h(`tr${classes}`, { role: "row", ...attributes }, ...cells);

/** A cell; `head` names it where there is no room for the head of its column. */
export const td = (classes, head, ...children) => h(`td${classes}`, { role: "cell", "data-head": head || null }, ...children);
