// The snapshots of the last minute, and what has grown since.

const MINUTE = 60;
/** Rates are taken over the last few seconds: over one, they jump. */
const SHORT = 5;

export const listenerKey = (listener) => `${listener.name} ${listener.address}`;
export const endpointKey = (upstream, endpoint) => `${upstream.name} ${endpoint.address}`;

/** A snapshot with its parts by name. */
class Moment {
  constructor(snapshot) {
    this.snapshot = snapshot;
    this.at = snapshot.uptime_s;
    this.listeners = new Map(snapshot.listeners.map((one) => [listenerKey(one), one]));
    this.endpoints = new Map();
    for (const upstream of snapshot.upstreams) {
      for (const one of upstream.endpoints) this.endpoints.set(endpointKey(upstream, one), one);
    }
  }
}

export class Recent {
  #moments = [];

  /** Adds a snapshot. The process that it tells of may be another than before. */
  add(snapshot) {
    const last = this.#moments.at(-1);
    if (last && (snapshot.uptime_s < last.at || snapshot.config.loaded_at < last.snapshot.config.loaded_at)) {
      this.#moments = [];
    }
    const moment = new Moment(snapshot);
    this.#moments.push(moment);
    // One of every five seconds is enough for a minute.
    this.#moments = this.#moments.filter((one, index, all) => {
      const age = moment.at - one.at;
      const next = all[index + 1];
      return (
        age <= SHORT + 1 ||
        (age <= MINUTE + SHORT && (!next || index === 0 || one.at - all[index - 1].at >= SHORT - 1))
      );
    });
    this.now = moment;
    this.short = this.#before(SHORT);
    this.minute = this.#before(MINUTE);
    /** How long the "last minute" is, in seconds: less, soon after the start. */
    this.span = moment.at - this.minute.at;
  }

  /** The newest that is at least so many seconds old, or the oldest. */
  #before(seconds) {
    const old = this.#moments.findLast((one) => this.#moments.at(-1).at - one.at >= seconds);
    return old ?? this.#moments[0];
  }

  /** Growth a second, of what `read` finds in a moment; null: not known. */
  rate(read) {
    const growth = grown(read(this.now), read(this.short));
    const elapsed = this.now.at - this.short.at;
    return growth === null || elapsed <= 0 ? null : growth / elapsed;
  }

  /** Growth within the last minute; null: not known. */
  growth(read) {
    // What was not known at first grows from when it was.
    const first = this.#moments.findLastIndex((one) => one === this.minute);
    const known = this.#moments.slice(first, -1).find((one) => typeof read(one) === "number");
    return known === undefined ? null : grown(read(this.now), read(known));
  }
}

/** Nothing where either is not known, or where something began to count anew. */
function grown(now, before) {
  if (typeof now !== "number" || typeof before !== "number" || now < before) return null;
  return now - before;
}

export const sum = (numbers) => {
  const known = numbers.filter((number) => typeof number === "number");
  return known.length ? known.reduce((total, number) => total + number, 0) : null;
};

/** Sockets in a state: null where the kernel was not asked, 0 where it named none. */
export const inState = (states, state) => (states ? (states[state] ?? 0) : null);

/** Leases from the pool of all leases, by what has grown; null where there was none. */
export function reuse(opened, reused) {
  return opened === null || reused === null || opened + reused === 0 ? null : reused / (opened + reused);
}

/** The names of the upstreams with pools: TCP listeners open a connection for each session. */
export function pooled(snapshot) {
  const names = snapshot.listeners.filter((one) => one.protocol === "http").map((one) => one.upstream);
  return new Set(names.includes(null) ? snapshot.upstreams.map((one) => one.name) : names);
}

/** The source of an endpoint with the least left of it. */
export function worstPorts(endpoint) {
  if (!endpoint.ports?.length) return null;
  const left = (ports) => (ports.capacity ? ports.free / ports.capacity : 0);
  return endpoint.ports.reduce((worst, ports) => (left(ports) < left(worst) ? ports : worst));
}
