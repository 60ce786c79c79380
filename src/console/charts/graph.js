// A call graph: who calls whom, and what they touch.

import { h, svg } from "../dom.js";
import { compact } from "../format.js";
import { short } from "../untrusted.js";
import { layers } from "./layers.js";

const [WIDE, TALL, BETWEEN, ACROSS, EDGE] = [216, 30, 12, 90, 8];
/** Letters that fit into a node. */
const LETTERS = 28;

/**
 * `nodes` of `{ id, name, kind, href, marked }`, `edges` of `{ from, to, count, marked }`. The list beside it says the same to
 * who does not see it.
 */
export function graph(what, nodes, edges) {
  if (nodes.length === 0) return h("p.empty", {}, `No ${what} learned yet.`);
  const rows = layers(nodes, edges);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const tallest = Math.max(...rows.map((row) => row.length));
  const height = tallest * (TALL + BETWEEN) - BETWEEN + 2 * EDGE;
  const width = rows.length * (WIDE + ACROSS) - ACROSS + 2 * EDGE;
  const at = new Map();
  rows.forEach((row, x) => {
    const top = (height - row.length * (TALL + BETWEEN) + BETWEEN) / 2;
    row.forEach((id, y) => at.set(id, [EDGE + x * (WIDE + ACROSS), top + y * (TALL + BETWEEN)]));
  });
  const most = Math.max(...edges.map((edge) => edge.count ?? 1), 1);
  return h(
    "div.graph",
    { tabindex: "0", role: "group", "aria-label": what },
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": sentence(what, byId, edges) },
      edges.filter(({ from, to }) => at.has(from) && at.has(to)).map((edge) => arrow(edge, at, most)),
      nodes.map((node) => box(node, at.get(node.id))),
    ),
  );
}

function arrow({ from, to, count = 1, marked }, at, most) {
  const [x1, y1] = [at.get(from)[0] + WIDE, at.get(from)[1] + TALL / 2];
  const [x2, y2] = [at.get(to)[0], at.get(to)[1] + TALL / 2];
  const bend = Math.max(Math.abs(x2 - x1) / 2, 40);
  const thick = 1 + (3 * Math.log1p(count)) / Math.log1p(most);
  return svg(
    `g.arrow${marked ? ".marked" : ""}`,
    {},
    svg("path", { d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 5} ${y2}`, "stroke-width": thick.toFixed(1) }),
    svg("path.head", { d: `M${x2} ${y2} l-7 -4 v8 z` }),
    svg("title", {}, `${compact(count)} times`),
  );
}

function box(node, [x, y]) {
  const inside = [
    svg("rect", { x, y, width: WIDE, height: TALL, rx: node.kind === "function" ? 4 : TALL / 2 }),
    svg("text", { x: x + WIDE / 2, y: y + TALL / 2 + 4, "text-anchor": "middle" }, short(node.name, LETTERS)),
    svg("title", {}, short(node.name)),
  ];
  const classes = `.node.kind-${/^[a-z_]+$/.test(node.kind ?? "") ? node.kind : "other"}${node.marked ? ".marked" : ""}`;
  return node.href ? svg(`a${classes}`, { href: node.href }, inside) : svg(`g${classes}`, {}, inside);
}

function sentence(what, byId, edges) {
  const name = (id) => short(byId.get(id)?.name ?? id, 40);
  const said = edges.slice(0, 12).map(({ from, to }) => `${name(from)} to ${name(to)}`);
  return `${what}: ${said.join("; ")}${edges.length > 12 ? `; and ${edges.length - 12} more` : ""}`;
}
