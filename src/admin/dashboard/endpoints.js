// The table of the endpoints, one body for each upstream: found by a text, and in several orders.

import { severityOf } from "./attention.js";
import { LEVELS, badge, bar, chooser, flagged, showBadge, showBar, spark } from "./cells.js";
import { $, h, keep, number, row, text } from "./dom.js";
import { NONE, count, percent, rate } from "./format.js";
import { endpointKey, inState, pooled, reuse, sum, worstPorts } from "./recent.js";

const BAD = ["watch", "act"];

/** An item is { upstream, endpoint, key, recent, history, most, isPooled }. */
const columns = (choose) => [
  chooser(
    ({ key }) => `e ${key}`,
    ({ endpoint }) => [endpoint.address, endpoint.weight === 1 ? "" : `weight ${endpoint.weight}`],
    choose,
  ),
  {
    make: badge,
    show: (element, { endpoint }) => {
      const admin = endpoint.admin === "enabled" ? "" : `, ${endpoint.admin}`;
      showBadge(element, endpoint.health === "up" ? "fine" : "act", `${endpoint.health}${admin}`);
    },
  },
  {
    make: bar(["leased", "idle", "connecting"]),
    show: (parts, { endpoint: { connections: c }, most }) =>
      showBar(parts, [c.leased, c.idle, c.connecting], most),
  },
  number(({ endpoint }) => count(endpoint.connections.leased)),
  number(({ endpoint }) => count(endpoint.connections.idle)),
  number(({ endpoint }) => count(endpoint.connections.connecting)),
  flagged(({ endpoint }) => endpoint.connections.waiting),
  number(({ recent, key, isPooled }) =>
    isPooled ? percent(reuse(growth(recent, key, "opened_total"), growth(recent, key, "reused_total"))) : "",
  ),
  number(({ recent, key }) => rate(opened(recent, key))),
  flagged(({ recent, key }) => failed(recent, key)),
  number(({ endpoint }) => count(inState(endpoint.tcp_states, "time_wait"))),
  flagged(({ endpoint }) => inState(endpoint.tcp_states, "close_wait")),
  {
    make: (cell) => ({
      parts: bar(["used", "time-wait"])(cell),
      words: cell.appendChild(h("span", { class: "detail" })),
      level: badge(cell),
    }),
    show: ({ parts, words, level }, { endpoint }) => {
      const ports = worstPorts(endpoint);
      showBar(parts, ports ? [ports.used, ports.time_wait] : [0, 0], ports?.capacity ?? 0);
      text(words, ports ? ` ${percent(ports.capacity ? ports.free / ports.capacity : 0)} ` : ` ${NONE} `);
      const [severity, name] = ports ? (LEVELS[ports.level] ?? ["", ports.level]) : ["", ""];
      showBadge(level, severity, severity === "fine" ? "" : name);
    },
  },
  spark(({ key }) => `e ${key}`, "opens_per_s", "connections opened a second in the last 15 minutes"),
];

const opened = (recent, key) => recent.rate((moment) => moment.endpoints.get(key)?.opened_total);
const growth = (recent, key, field) => recent.growth((moment) => moment.endpoints.get(key)?.[field]);
const failed = (recent, key) =>
  sum([growth(recent, key, "connect_errors_total"), growth(recent, key, "local_errors_total")]);

/** How bad it is, for the order: greater is worse. */
function badness({ endpoint, recent, key }) {
  const level = BAD.indexOf(LEVELS[worstPorts(endpoint)?.level]?.[0]) + 1;
  return (
    (endpoint.health === "up" ? 0 : 8) +
    2 * level +
    (failed(recent, key) ? 2 : 0) +
    (endpoint.connections.waiting ? 2 : 0) +
    (inState(endpoint.tcp_states, "close_wait") ? 1 : 0) +
    (severityOf("time_wait", 1, { snapshot: recent.now.snapshot, endpoints: [endpoint] }) ? 1 : 0)
  );
}

const busy = ({ endpoint: { connections: c } }) => c.leased + c.idle + c.connecting;
const ORDERS = {
  worst: (one, other) => badness(other) - badness(one),
  connections: (one, other) => busy(other) - busy(one),
  opens: (one, other) => (opened(other.recent, other.key) ?? 0) - (opened(one.recent, one.key) ?? 0),
};

let endpointRow;

export function endpoints(recent, history, choose) {
  endpointRow ??= columns(choose);
  const wanted = $("filter").value.trim().toLowerCase();
  const order = ORDERS[$("order").value];
  let [total, shown] = [0, 0];
  const most = Math.max(
    1,
    ...recent.now.snapshot.upstreams.flatMap((upstream) =>
      upstream.endpoints.map((endpoint) => busy({ endpoint })),
    ),
  );
  const names = pooled(recent.now.snapshot);
  const groups = recent.now.snapshot.upstreams.map((upstream) => {
    const all = upstream.endpoints.map((endpoint) => ({
      upstream,
      endpoint,
      key: endpointKey(upstream, endpoint),
      recent,
      history,
      most,
      isPooled: names.has(upstream.name),
    }));
    const items = all.filter(({ key }) => key.toLowerCase().includes(wanted));
    if (order) items.sort(order);
    total += all.length;
    shown += items.length;
    return { upstream, items };
  });
  keep(
    $("endpoint-table"),
    groups.filter(({ items }) => items.length > 0),
    ({ upstream }) => upstream.name,
    body,
  );
  text($("endpoint-count"), wanted ? `${count(shown)} of ${count(total)}` : "");
}

/** The body of one upstream: its name, then its endpoints. */
function body() {
  const title = h("th", { colspan: String(endpointRow.length), scope: "rowgroup" });
  const element = h("tbody", null, h("tr", { class: "group" }, title));
  // The rows come after the title: they have a parent of their own to be kept in.
  const rows = new RowsAfter(element.firstChild);
  const update = ({ upstream, items }) => {
    const up = upstream.endpoints.filter((endpoint) => endpoint.health === "up").length;
    text(
      title,
      `${upstream.name}: ${upstream.balance}, ${count(up)} of ${count(upstream.endpoints.length)} up`,
    );
    keep(
      rows,
      items,
      ({ key }) => key,
      () => row(endpointRow),
    );
  };
  return { element, update };
}

/** Looks like a parent whose children begin after one element. */
class RowsAfter {
  #title;
  constructor(title) {
    this.#title = title;
  }
  get firstChild() {
    return this.#title.nextSibling;
  }
  insertBefore(element, place) {
    this.#title.parentNode.insertBefore(element, place);
  }
}
