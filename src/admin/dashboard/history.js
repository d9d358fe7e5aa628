// The last 15 minutes, as GET /history gives them, kept up to date by asking for what is new.

const EVERY_MS = 5000;

/** Sums and columns by name; every column is as long as `times`. */
export class History {
  times = [];
  #series = new Map();
  #keptMs = 900_000;
  #asked = -Infinity;
  #asking = false;

  /** Fetches what is new, if it is time. Returns whether anything came. */
  async refresh(get) {
    if (this.#asking || performance.now() - this.#asked < EVERY_MS) return false;
    this.#asking = true;
    try {
      const last = this.times.at(-1);
      const added = await get(last === undefined ? "/history" : `/history?after=${last}`);
      this.#add(added);
      return added.times_ms.length > 0;
    } finally {
      this.#asking = false;
      this.#asked = performance.now();
    }
  }

  /** A column of "l" and "e" for the totals, or of "l NAME ADDRESS", "e UPSTREAM ADDRESS". */
  column(subject, name) {
    return this.#series.get(subject)?.[name] ?? this.times.map(() => null);
  }

  #add({ kept_s, times_ms, listeners, endpoints }) {
    this.#keptMs = kept_s * 1000;
    const oldest = (times_ms.at(-1) ?? this.times.at(-1)) - this.#keptMs;
    const dropped = this.times.findIndex((time) => time > oldest);
    const skip = dropped === -1 ? this.times.length : dropped;
    const kept = this.times.length - skip;
    const before = this.#series;
    this.#series = new Map();
    const add = (subject, columns) => {
      const old = before.get(subject);
      const joined = {};
      for (const [name, values] of Object.entries(columns)) {
        if (!Array.isArray(values)) continue;
        joined[name] = [...(old?.[name]?.slice(skip) ?? Array(kept).fill(null)), ...values];
      }
      this.#series.set(subject, joined);
    };
    add("l", listeners.total);
    add("e", endpoints.total);
    for (const one of listeners.each) add(`l ${one.name} ${one.address}`, one);
    for (const one of endpoints.each) add(`e ${one.upstream} ${one.address}`, one);
    this.times = [...this.times.slice(skip), ...times_ms];
  }
}
