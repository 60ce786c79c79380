// Where the nodes of a call graph go: callers left of what they call, few crossings.

/**
 * `nodes` of `{ id }` and `edges` of `{ from, to }` into layers of ids, left to right. Edges that close a circle do not
 * move anything.
 */
export function layers(nodes, edges) {
  const ids = nodes.map((node) => node.id);
  const known = new Set(ids);
  const forward = acyclic(ids, edges.filter(({ from, to }) => known.has(from) && known.has(to) && from !== to));
  const depth = new Map(ids.map((id) => [id, 0]));
  for (let round = 0; round < ids.length; round++) {
    let moved = false;
    for (const { from, to } of forward) {
      if (depth.get(to) > depth.get(from)) continue;
      depth.set(to, depth.get(from) + 1);
      moved = true;
    }
    if (!moved) break;
  }
  const rows = [];
  for (const id of ids) (rows[depth.get(id)] ??= []).push(id);
  return ordered(rows.filter(Boolean), forward);
}

/** `edges` without those that lead back into a node that is being visited. */
function acyclic(ids, edges) {
  const out = new Map(ids.map((id) => [id, []]));
  for (const edge of edges) out.get(edge.from).push(edge);
  const state = new Map();
  const kept = [];
  for (const root of ids) {
    if (state.has(root)) continue;
    state.set(root, "open");
    const stack = [{ id: root, next: 0 }];
    while (stack.length > 0) {
      const top = stack.at(-1);
      const edge = out.get(top.id)[top.next++];
      if (!edge) {
        state.set(top.id, "done");
        stack.pop();
      } else if (state.get(edge.to) !== "open") {
        kept.push(edge);
        if (!state.has(edge.to)) {
          state.set(edge.to, "open");
          stack.push({ id: edge.to, next: 0 });
        }
      }
    }
  }
  return kept;
}

/** Each layer sorted by the mean place of its neighbours, there and back. */
function ordered(rows, edges) {
  const sorted = rows.map((row) => [...row]);
  const sort = (i, j, end, other) => {
    const place = new Map(sorted[j].map((id, at) => [id, at]));
    const mean = (id, at) => {
      const near = edges.filter((edge) => edge[end] === id && place.has(edge[other])).map((edge) => place.get(edge[other]));
      return near.length > 0 ? near.reduce((sum, x) => sum + x, 0) / near.length : at;
    };
    const means = new Map(sorted[i].map((id, at) => [id, mean(id, at)]));
    sorted[i].sort((a, b) => means.get(a) - means.get(b));
  };
  for (let i = 1; i < sorted.length; i++) sort(i, i - 1, "to", "from");
  for (let i = sorted.length - 2; i >= 0; i--) sort(i, i + 1, "from", "to");
  return sorted;
}
