// Light, dark, or as the system has it.

import { recall, remember } from "./memory.js";

const CHOICES = ["system", "light", "dark"];

/** What was chosen last. */
export function theme() {
  const chosen = recall("theme");
  return CHOICES.includes(chosen) ? chosen : "system";
}

/** Goes on to the next choice and returns it. */
export function nextTheme() {
  remember("theme", CHOICES[(CHOICES.indexOf(theme()) + 1) % CHOICES.length]);
  applyTheme();
  return theme();
}

export function applyTheme() {
  document.documentElement.dataset.theme = theme();
}
