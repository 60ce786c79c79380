// What an exception covers, in words and in fields a person can narrow.

import { h } from "../../dom.js";
import { inUnit } from "../../format.js";
import { name, value } from "../../untrusted.js";

/** `destination api.example.com of reserve-seat`. */
export function scopeText(scope) {
  return [
    scope.feature.replace("novelty.", "").replace("magnitude.", "").replaceAll("_", " "),
    scope.key_pattern && [" ", value(scope.key_pattern, 80)],
    scope.at_most !== "0" && ` of at most ${inUnit(unitOf(scope.feature))(scope.at_most)}`,
    scope.reach === "application" ? " of every function of the application of " : " of ",
    name(scope.function_name, 60),
  ];
}

/** Features are measured in the unit of their quantity; repeats are counted. */
function unitOf(feature) {
  const quantity = feature.replace("magnitude.", "");
  if (["duration", "self_time", "init"].includes(quantity)) return "us";
  if (["bytes_out", "bytes_in"].includes(quantity)) return "bytes";
  return quantity === "memory" ? "MB" : "";
}

/** One set of fields a scope; `change` gets all of them anew. */
export function scopeFields(scopes, change) {
  const set = (i, changes) => change(scopes.map((scope, at) => (at === i ? { ...scope, ...changes } : scope)));
  return h(
    "fieldset",
    {},
    h("legend", {}, "What is expected"),
    scopes.map((scope, i) =>
      h(
        "div.scope",
        { "data-key": `scope-${i}` },
        h("div", {}, h("input", { type: "checkbox", id: `scope-${i}`, checked: scope.taken, onchange: (event) => set(i, { taken: event.target.checked }) }), " ", h("label.inline", { for: `scope-${i}` }, scopeText(scope))),
        scope.taken && h("details", {}, h("summary", {}, "Narrow or widen it", h("span.unseen", {}, `, ${i + 1}`)), h("div.narrow", {}, reach(scope, i, set), pattern(scope, i, set), most(scope, i, set))),
      ),
    ),
  );
}

function reach(scope, i, set) {
  const option = (which, text) => h("option", { value: which, selected: scope.reach === which }, text);
  return h("div", {}, h("label", { for: `reach-${i}` }, "For"), h("select", { id: `reach-${i}`, onchange: (event) => set(i, { reach: event.target.value }) }, option("function", "this function"), option("application", "its whole application")));
}

function pattern(scope, i, set) {
  if (scope.key_pattern === "") return null;
  return h("div", {}, h("label", { for: `pattern-${i}` }, "Matching (* is anything)"), h("input", { id: `pattern-${i}`, value: scope.key_pattern, oninput: (event) => set(i, { key_pattern: event.target.value || "?" }) }));
}

function most(scope, i, set) {
  if (scope.at_most === "0") return null;
  return h("div", {}, h("label", { for: `most-${i}` }, "At most"), h("input", { id: `most-${i}`, type: "number", min: 1, value: scope.at_most, oninput: (event) => set(i, { at_most: event.target.value || "1" }) }));
}
