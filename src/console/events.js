// Server-Sent Events over `fetch`, which unlike `EventSource` can show a token and say why it was refused.

/** Reads events out of pieces of text as they arrive. */
export class EventReader {
  #rest = "";
  #event = { name: "message", data: [] };

  /** The events that `text` completes. */
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.map((line) => this.#line(line)).filter(Boolean);
  }

  #line(line) {
    if (line === "") {
      const { name, data } = this.#event;
      this.#event = { name: "message", data: [] };
      return data.length > 0 ? { name, data: data.join("\n") } : null;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event.name = value;
    if (field === "data") this.#event.data.push(value);
    return null;
  }
}

/** The shortest and longest pause before the next attempt, milliseconds. */
const PAUSE = [1_000, 30_000];
/** A connection on which nothing came for so long is taken for dead, milliseconds; the gateway says something every 15 s. */
const SILENCE = 45_000;

/**
 * Stays connected with what `open` (a function of an `AbortSignal` that returns a response) opens. `on.event` gets every
 * event, `on.state` `"live"`, `"reconnecting"` or `"refused"`. Returns a function that ends it.
 */
export function stay(open, on) {
  const ended = new AbortController();
  let pause = PAUSE[0];
  const live = () => {
    pause = PAUSE[0];
    on.state("live");
  };
  (async () => {
    while (!ended.signal.aborted) {
      try {
        await connection(open, on, live, ended.signal);
      } catch (error) {
        if (ended.signal.aborted) return;
        if (error.status === 401 || error.status === 403) return on.state("refused");
      }
      on.state("reconnecting");
      await delay(pause * (0.5 + Math.random() / 2), ended.signal);
      pause = Math.min(2 * pause, PAUSE[1]);
    }
  })();
  return () => ended.abort();
}

async function connection(open, on, live, signal) {
  const silent = new AbortController();
  const response = await open(AbortSignal.any([signal, silent.signal]));
  live();
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const reader = new EventReader();
  for (;;) {
    const timer = setTimeout(() => silent.abort(), SILENCE);
    const { done, value } = await text.read().finally(() => clearTimeout(timer));
    if (done) return;
    for (const event of reader.push(value)) on.event(event);
  }
}

/** A pause that ends early when the page is looked at again or the network is back. */
function delay(milliseconds, signal) {
  return new Promise((resolve) => {
    const woken = new AbortController();
    const done = () => {
      clearTimeout(timer);
      woken.abort();
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    for (const [target, name] of [[signal, "abort"], [window, "online"], [document, "visibilitychange"]]) {
      target.addEventListener(name, done, { signal: woken.signal });
    }
  });
}
