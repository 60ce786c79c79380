// What the browser keeps for this person; a browser that keeps nothing is no error.

const PREFIX = "sekisho.";

export function recall(key) {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // It holds until the page is closed.
  }
}

/** Secrets live as long as the tab. */
export function recallSecret(key) {
  try {
    return sessionStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function rememberSecret(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + key);
    else sessionStorage.setItem(PREFIX + key, value);
  } catch {
    // It holds until the page is closed.
  }
}
