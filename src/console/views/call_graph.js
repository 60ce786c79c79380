// A function among what calls it and what it touches, from what was learned; what evidence names is marked.

import { graph } from "../charts/graph.js";
import { h } from "../dom.js";
import { plural } from "../format.js";
import { link } from "../router.js";

/** Nodes of a kind that are drawn; the tables have them all. */
const MOST = 10;

/** The families of keys that are places, and what evidence about them is called. */
const PLACES = ["resource", "destination"];

export function callGraph(detail, evidence = []) {
  const { summary } = detail;
  const center = "this";
  const nodes = [{ id: center, name: summary.name, kind: "function" }];
  const edges = [];
  const strange = new Map(evidence.filter((row) => row.key).map((row) => [`${row.feature.replace("novelty.", "")}:${row.key}`, row]));
  const called = (kind, name) => strange.has(`${kind}:${name}`);

  const isSelf = ({ id, name }) => id === summary.id || (!id && name === summary.name);
  const calls = detail.edges.filter(({ caller, callee }) => isSelf(caller) !== isSelf(callee));
  for (const { caller, callee, invocations, state } of calls.slice(0, 2 * MOST)) {
    const incoming = isSelf(callee);
    const other = incoming ? caller : callee;
    const id = `function:${incoming ? "in" : "out"}:${other.id || other.name}`;
    const marked = !incoming && state !== "known";
    if (!nodes.some((node) => node.id === id)) {
      nodes.push({ id, name: other.name, kind: "function", href: other.id && link(["functions", other.id]), marked });
    }
    edges.push({ from: incoming ? id : center, to: incoming ? center : id, count: invocations, marked });
  }

  let left = 0;
  for (const [kind, keys] of [["resource", detail.resources], ["destination", detail.destinations]]) {
    const shown = [...keys].sort((a, b) => Number(called(kind, b.name)) - Number(called(kind, a.name))).slice(0, MOST);
    left += keys.length - shown.length;
    for (const key of shown) {
      const marked = called(kind, key.name) || key.state !== "known";
      nodes.push({ id: `${kind}:${key.name}`, name: key.name, kind, marked });
      edges.push({ from: center, to: `${kind}:${key.name}`, count: key.invocations, marked });
    }
  }
  for (const [id, row] of strange) {
    const kind = id.split(":", 1)[0];
    if (!PLACES.includes(kind) || nodes.some((node) => node.id === id)) continue;
    nodes.push({ id, name: row.key, kind, marked: true });
    edges.push({ from: center, to: id, count: 1, marked: true });
  }
  const what = evidence.length > 0 ? "what it calls and touches, with what is strange marked" : "calls and what is touched";
  return [
    graph(what, nodes, edges),
    h("p.legend.note", {}, h("span.swatch.function", {}, "function"), h("span.swatch.resource", {}, "resource"), h("span.swatch.destination", {}, "destination"), h("span.swatch.strange", {}, "new or quarantined")),
    left > 0 && h("p.note", {}, `${plural(left, "more place")} ${left === 1 ? "is" : "are"} in the function's tables.`),
  ];
}
