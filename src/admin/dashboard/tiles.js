// The figures at the top: a number, what it is, and its last 15 minutes.

import { sparkline } from "./chart.js";
import { $, attribute, h, text } from "./dom.js";
import { NONE, count, duration, percent, rate } from "./format.js";
import { inState, pooled, reuse, sum, worstPorts } from "./recent.js";

/** Title, value, what is said below it, and the column of the history. */
const TILES = [
  [
    "Sessions",
    ({ listeners }) => count(sum(listeners.map((one) => one.sessions.current))),
    ({ recent }) => `${rate(recent.rate(total((one) => one.sessions.total)))} accepted /s`,
    "l",
    "sessions",
  ],
  [
    "Requests /s",
    ({ recent }) => rate(recent.rate(total((one) => one.requests_total))),
    ({ recent }) => `${count(refused(recent))} refused, 1 min`,
    "l",
    "requests_per_s",
  ],
  [
    "To endpoints",
    ({ endpoints }) => count(sum(endpoints.map(({ connections: c }) => c.leased + c.idle + c.connecting))),
    ({ endpoints }) =>
      `${count(sum(endpoints.map((one) => one.connections.leased)))} leased, ${count(sum(endpoints.map((one) => one.connections.idle)))} idle`,
    "e",
    "leased",
  ],
  [
    "Reuse",
    ({ recent }) =>
      percent(reuse(recent.growth(inPools("opened_total")), recent.growth(inPools("reused_total")))),
    ({ recent }) => `${rate(recent.rate(each("opened_total")))} opened /s`,
    "e",
    "opens_per_s",
  ],
  [
    "Ports free",
    ({ endpoints }) => {
      const worst = fewest(endpoints);
      return worst ? percent(worst.capacity ? worst.free / worst.capacity : 0) : NONE;
    },
    ({ endpoints }) => {
      const worst = fewest(endpoints);
      if (!worst) return "not known";
      return worst.exhausts_in_s === null
        ? `${count(worst.free)} at the least`
        : `none left in ${duration(worst.exhausts_in_s)}`;
    },
    "e",
    "ports_free",
  ],
  [
    "TIME_WAIT",
    ({ endpoints }) => count(inAll(endpoints, "time_wait")),
    ({ listeners }) => `and ${count(inAll(listeners, "time_wait"))} of clients`,
    "e",
    "time_wait",
  ],
  [
    "CLOSE_WAIT",
    ({ snapshot }) => count(snapshot.close_wait?.count),
    ({ snapshot }) =>
      typeof snapshot.close_wait?.count !== "number"
        ? "not known"
        : snapshot.close_wait.count
          ? `the oldest for ${duration(snapshot.close_wait.oldest_s)}`
          : "all closed in time",
    "l",
    "close_wait",
  ],
  [
    "Accept queues",
    ({ listeners }) => count(sum(listeners.map((one) => one.accept_queue.depth))),
    ({ listeners }) => `of ${count(sum(listeners.map((one) => one.accept_queue.limit)))}`,
    "l",
    "accept_queue",
  ],
];

const total = (read) => (moment) => sum(moment.snapshot.listeners.map(read));
const each = (field) => (moment) => sum([...moment.endpoints.values()].map((one) => one[field]));
const inPools =
  (field) =>
  ({ snapshot }) => {
    const names = pooled(snapshot);
    const endpoints = snapshot.upstreams.filter((one) => names.has(one.name)).flatMap((one) => one.endpoints);
    return sum(endpoints.map((one) => one[field]));
  };
const refused = (recent) => recent.growth(total((one) => sum(Object.values(one.rejects)) ?? 0));
const inAll = (all, state) => sum(all.map((one) => inState(one.tcp_states, state)));

function fewest(endpoints) {
  const left = (ports) => (ports.capacity ? ports.free / ports.capacity : 0);
  const all = endpoints.map(worstPorts).filter((ports) => ports !== null);
  return all.length ? all.reduce((worst, ports) => (left(ports) < left(worst) ? ports : worst)) : null;
}

let made = null;

export function show(recent, history) {
  made ??= TILES.map(([title]) => {
    const tile = { value: h("dd", { class: "big" }), detail: h("dd", { class: "muted" }), line: sparkline() };
    $("tiles").append(
      h(
        "dl",
        { class: "tile" },
        h("dt", null, title),
        tile.value,
        tile.detail,
        h("dd", { class: "trend" }, tile.line.element),
      ),
    );
    return tile;
  });
  const { snapshot } = recent.now;
  const shown = {
    recent,
    snapshot,
    listeners: snapshot.listeners,
    endpoints: snapshot.upstreams.flatMap((one) => one.endpoints),
  };
  TILES.forEach(([title, value, detail, series, column], at) => {
    text(made[at].value, value(shown));
    text(made[at].detail, detail(shown));
    made[at].line.update(history.times, history.column(series, column), `${title} in the last 15 minutes`);
    attribute(made[at].value, "data-tile", title);
  });
}
