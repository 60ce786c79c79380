// Where the page is: `#/incidents/inc-0a1b2c3d4e?tier=page`. The whole state a link should carry is in it.

/** The place in the address now: its parts, decoded, and its query. */
export function place(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { parts: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

/** A link to `parts`, with the entries of `query` that say something. */
export function link(parts, query = {}) {
  const path = parts.map(encodeURIComponent).join("/");
  const said = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return `#/${path}${said.length > 0 ? `?${new URLSearchParams(said)}` : ""}`;
}

/** Goes there, as a click on a link would. */
export function go(parts, query) {
  location.hash = link(parts, query);
}

/** Changes the query of this place without a new entry in the history. */
export function restate(changes) {
  const { parts, query } = place();
  history.replaceState(null, "", link(parts, { ...Object.fromEntries(query), ...changes }));
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
