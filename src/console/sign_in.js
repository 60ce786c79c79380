// Asks for the token that the console's authenticator wants.

import { isSignedIn, signIn } from "./api.js";
import { dialog } from "./dialog.js";
import { h } from "./dom.js";

/** Asks once; `then` is called with the token in place. */
export function askToken(then) {
  dialog("Sign in", (close) => {
    const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
    const submit = (event) => {
      event.preventDefault();
      signIn(field.value.trim());
      close();
      then();
    };
    return h(
      "form",
      { onsubmit: submit },
      isSignedIn() && h("p.problem", { role: "alert" }, "That token was not accepted."),
      h("p", {}, "This console wants a token: one that the extension named under ", h("code", {}, "console::auth::authenticator"), " accepts. It is kept until this tab is closed."),
      h("p", {}, h("label", { for: "token" }, "Token"), field),
      h("p", {}, h("button.primary", { type: "submit" }, "Sign in")),
    );
  });
}
