// Elements, and how a page changes into its next state.
//
// All data is hostile: names and values come from telemetry an attacker may have written. So nothing here takes markup:
// text becomes text nodes, links lead into this page only, handlers are functions.

const SVG = "http://www.w3.org/2000/svg";

/** Properties that are set on the element instead of as attributes. */
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected", "open"]);

/** Handlers an element may have; `patch` moves them to the element that stays. */
const HANDLERS = ["onclick", "oninput", "onchange", "onsubmit", "onkeydown", "onclose"];

/**
 * `h("a.button", { href: "#/" }, "text", child, …)`: an element with classes, attributes and children. Children that are
 * null or false are left out, arrays are laid flat, everything that is not a node is text.
 */
export function h(what, attributes, ...children) {
  return build((name) => document.createElement(name), what, attributes, children);
}

/** The same for SVG. */
export function svg(what, attributes, ...children) {
  return build((name) => document.createElementNS(SVG, name), what, attributes, children);
}

function build(create, what, attributes, children) {
  const [name, ...classes] = what.split(".");
  const element = create(name);
  if (classes.length > 0) element.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(attributes ?? {})) set(element, key, value);
  element.append(...nodes(children));
  return element;
}

function set(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (HANDLERS.includes(key)) {
    element[key] = value;
  } else if (PROPERTIES.has(key)) {
    element[key] = value;
  } else if (key === "href" && !String(value).startsWith("#")) {
    throw new Error(`a link out of the console: ${value}`);
  } else if (key.startsWith("on") || key === "style" || key === "src" || key === "srcdoc") {
    throw new Error(`${key} is not set from data`);
  } else {
    element.setAttribute(key, value === true ? "" : String(value));
  }
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/**
 * Makes `next` the children of `parent` and keeps every element that is still the same (by name and `data-key`), so
 * that focus, selection, scrolling and what a person has opened or typed survive an update.
 */
export function patch(parent, ...next) {
  const focused = document.activeElement;
  patchChildren(parent, nodes(next));
  // An element that moved among its siblings has lost the focus on the way.
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function patchChildren(parent, next) {
  let place = parent.firstChild;
  for (const wanted of next) {
    const kept = counterpart(place, wanted);
    if (!kept) {
      parent.insertBefore(wanted, place);
      continue;
    }
    if (kept === place) place = place.nextSibling;
    else parent.insertBefore(kept, place);
    patchNode(kept, wanted);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

/** The node from `place` on that `wanted` is the next state of: the very next, or one with the same key. */
function counterpart(place, wanted) {
  const key = keyOf(wanted);
  if (key === null) return place && isSame(place, wanted) ? place : null;
  for (let node = place; node; node = node.nextSibling) if (isSame(node, wanted)) return node;
  return null;
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);
const isSame = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

function patchNode(kept, wanted) {
  if (kept === wanted) return;
  if (kept.nodeType !== Node.ELEMENT_NODE) {
    if (kept.data !== wanted.data) kept.data = wanted.data;
    return;
  }
  for (const { name } of [...kept.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") kept.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (name !== "open" && kept.getAttribute(name) !== value) kept.setAttribute(name, value);
  }
  for (const handler of HANDLERS) kept[handler] = wanted[handler];
  for (const property of ["disabled", "hidden"]) {
    if (property in wanted && kept[property] !== wanted[property]) kept[property] = wanted[property];
  }
  patchChildren(kept, [...wanted.childNodes]);
}
