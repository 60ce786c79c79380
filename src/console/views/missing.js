// A place that is none.

import { h } from "../dom.js";

export const missing = {
  title: () => "No such page",
  load: async () => ({}),
  render: () => [
    h("h1", { tabindex: "-1" }, "No such page"),
    h("p", {}, "The address leads nowhere here. ", h("a", { href: "#/" }, "Go to the fleet"), " or ", h("a", { href: "#/incidents" }, "to the incidents"), "."),
  ],
};
