// GET /events by fetch(), which can send a token where EventSource cannot, and which tells a refusal
// from a connection that broke.

const WAITS = [1, 2, 4, 8, 15];
/** Something comes every second, or at the least a comment every five. */
const STALLED_MS = 8000;

/**
 * Keeps a stream open for ever. `on` is told what comes: snapshot(object), and state(name, details)
 * with connecting, live, lost, refused (a token is wanted), full or ended.
 */
export class Stream {
  #on;
  #abort = null;
  #timer = null;
  #failures = 0;
  token = null;

  constructor(on) {
    this.#on = on;
    addEventListener("online", () => this.retry());
  }

  /** Begins, or begins anew at once. */
  start() {
    this.stop();
    const abort = (this.#abort = new AbortController());
    this.#run(abort).catch((error) => this.#lost(abort, error));
  }

  /** Ends it, until the next start(). */
  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#abort?.abort();
    this.#abort = null;
  }

  /** Does not wait any longer for the next try. */
  retry() {
    if (this.#timer !== null) this.start();
  }

  /** Any other resource, with the token. */
  async get(path) {
    const response = await fetch(path, {
      headers: this.#headers(),
      cache: "no-store",
      signal: this.#abort?.signal,
    });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return response.json();
  }

  #headers() {
    return this.token === null ? {} : { authorization: `Bearer ${this.token}` };
  }

  async #run(abort) {
    this.#on.state("connecting");
    const response = await this.#timed(
      fetch("/events", {
        headers: { accept: "text/event-stream", ...this.#headers() },
        cache: "no-store",
        signal: abort.signal,
      }),
    );
    if (response.status === 401) return this.#on.state("refused", { tried: this.token !== null });
    if (response.status === 503)
      return this.#again(abort, "full", Number(response.headers.get("retry-after")) || 10);
    if (!response.ok) throw new Error(`the answer is ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await this.#timed(reader.read());
      if (done) throw new Error("the stream has ended");
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (this.#event(event) === "end") return this.#again(abort, "ended", WAITS[0]);
      }
    }
  }

  #event(event) {
    let kind = "message";
    let data = "";
    for (const line of event.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (kind === "snapshot") {
      this.#failures = 0;
      this.#on.state("live");
      this.#on.snapshot(JSON.parse(data));
    }
    return kind;
  }

  /** A connection can be open and dead. */
  async #timed(promise) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("nothing has come for a while")), STALLED_MS);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #lost(abort, error) {
    if (abort !== this.#abort) return; // It was asked to end.
    const wait = WAITS[Math.min(this.#failures, WAITS.length - 1)] * (1 + Math.random() / 5);
    this.#failures += 1;
    this.#again(abort, "lost", wait, error);
  }

  #again(abort, state, seconds, error) {
    if (abort.signal.aborted) return;
    abort.abort();
    this.#on.state(state, { seconds, error });
    this.#timer = setTimeout(() => this.start(), seconds * 1000);
  }
}
