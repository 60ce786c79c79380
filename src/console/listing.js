// Lists that come from the gateway in pages, and the fields that narrow them.

import { get } from "./api.js";

/** A list follows what is typed so late, milliseconds. */
const PAUSE = 200;

/** As many pages of `what` (`"incidents"`) as somebody has asked for: `{ list, total, next }`. */
export async function listing(page, what, query, signal) {
  const list = [];
  const wanted = page.state.pages ?? 1;
  for (let i = 1, token = ""; ; i++) {
    const answer = await get(what, { ...query, page_token: token }, signal);
    list.push(...answer[what]);
    token = answer.next_page_token;
    if (i >= wanted || !token) return { list, total: answer.total, next: token !== "" };
  }
}

/** One page more, if there is one. */
export function more(page) {
  if (!page.data?.next) return;
  page.state.pages = (page.state.pages ?? 1) + 1;
  page.reload();
}

/** Another question, from its first page on. */
export function narrow(page, changes) {
  page.state.pages = 1;
  page.ask(changes);
  page.reload();
}

/** The same, once nobody has typed for a moment. */
export function narrowSoon(page, changes) {
  clearTimeout(page.state.typing);
  page.state.typing = setTimeout(() => narrow(page, changes), PAUSE);
}
