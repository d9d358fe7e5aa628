// The tables: listeners, endpoints, source ports, CLOSE_WAIT, budgets, the kernel.

import { LEVELS, badge, bar, chooser, flagged, showBadge, showBar, spark } from "./cells.js";
import { $, attribute, h, keep, number, plain, row, show, text } from "./dom.js";
import { NONE, bytes, count, duration, plural, rate } from "./format.js";
import { inState, listenerKey, sum } from "./recent.js";

/** Rows of the source ports, those with the least left first. */
const PORT_ROWS = 50;

/** The columns of the listeners; an item is { listener, key, recent, history }. */
const listenerColumns = (choose) => {
  const growth = (item, read) => {
    const of = (moment) => moment.listeners.get(item.key);
    return item.recent.rate((moment) => of(moment) && read(of(moment)));
  };
  const rejects = (listener) => sum(Object.values(listener.rejects));
  return [
    chooser(
      ({ key }) => `l ${key}`,
      ({ listener }) => [
        listener.name,
        listener.name === listener.address ? listener.protocol : `${listener.address} ${listener.protocol}`,
      ],
      choose,
    ),
    plain(({ listener }) => listener.upstream ?? NONE),
    number(({ listener }) => count(listener.sessions.current)),
    number((item) => rate(growth(item, (listener) => listener.sessions.total))),
    number((item) =>
      item.listener.protocol === "tcp" ? "" : rate(growth(item, (listener) => listener.requests_total)),
    ),
    flagged(({ recent, key }) =>
      recent.growth((moment) => moment.listeners.get(key) && rejects(moment.listeners.get(key))),
    ),
    {
      make: (cell) => ({
        parts: bar(["used"])(cell),
        words: cell.appendChild(h("span", { class: "detail" })),
      }),
      show: ({ parts, words }, { listener: { accept_queue: queue } }) => {
        showBar(parts, [queue.depth], queue.limit);
        text(words, ` ${count(queue.depth)} of ${count(queue.limit)}, at most ${count(queue.depth_max)}`);
      },
    },
    number(({ listener }) => count(inState(listener.tcp_states, "time_wait"))),
    flagged(({ listener }) => inState(listener.tcp_states, "close_wait")),
    spark(({ key }) => `l ${key}`, "sessions", "sessions in the last 15 minutes"),
  ];
};

let listenerRow;

export function listeners(recent, history, choose) {
  listenerRow ??= listenerColumns(choose);
  const items = recent.now.snapshot.listeners.map((listener) => ({
    listener,
    key: listenerKey(listener),
    recent,
    history,
  }));
  keep(
    $("listener-table").tBodies[0],
    items,
    ({ key }) => key,
    () => row(listenerRow),
  );
}

const PORTS = [
  plain(({ ports }) => ports.source, { heads: true }),
  plain(({ endpoint, upstream }) => `${endpoint.address} of ${upstream.name}`),
  {
    make: bar(["used", "time-wait"]),
    show: (parts, { ports }) => showBar(parts, [ports.used, ports.time_wait], ports.capacity),
  },
  number(({ ports }) => count(ports.used)),
  number(({ ports }) => count(ports.time_wait)),
  number(({ ports }) => count(ports.free)),
  number(({ ports }) => count(ports.capacity)),
  number(({ ports }) => rate(ports.opens_per_s)),
  plain(({ ports }) => (ports.exhausts_in_s === null ? "not within 1 h" : duration(ports.exhausts_in_s))),
  {
    make: badge,
    show: (element, { ports }) => showBadge(element, ...(LEVELS[ports.level] ?? ["", ports.level])),
  },
];

export function ports({ now: { snapshot } }) {
  const all = snapshot.upstreams.flatMap((upstream) =>
    upstream.endpoints.flatMap((endpoint) =>
      (endpoint.ports ?? []).map((ports) => ({
        upstream,
        endpoint,
        ports,
        left: ports.capacity ? ports.free / ports.capacity : 0,
      })),
    ),
  );
  all.sort((one, other) => one.left - other.left);
  const items = all.slice(0, PORT_ROWS);
  const key = ({ upstream, endpoint, ports }) => `${upstream.name} ${endpoint.address} ${ports.source}`;
  keep($("port-table").tBodies[0], items, key, () => row(PORTS));
  const rest = all.length - items.length;
  text(
    $("port-rest"),
    all.length === 0 ? `${NONE} Not known.` : `And ${count(rest)} more, each with more left.`,
  );
  show($("port-rest"), all.length === 0 || rest > 0);
  show($("port-scroll"), all.length > 0);
}

const CLOSE_WAIT = [
  number(({ age_s }) => duration(age_s), { heads: true }),
  plain(({ side }) => side),
  plain(({ name }) => name),
  plain(({ phase }) => phase ?? "no owner is known"),
  plain(({ local }) => local),
  plain(({ peer }) => peer),
];

export function closeWait({ now: { snapshot } }) {
  const found = snapshot.close_wait;
  text($("close-wait-summary"), closeWaitSummary(found));
  show($("close-wait-scroll"), Boolean(found?.sockets?.length));
  const key = ({ local, peer }) => `${local} ${peer}`;
  keep($("close-wait-table").tBodies[0], found?.sockets ?? [], key, () => row(CLOSE_WAIT));
}

function closeWaitSummary(found) {
  const forced = found ? ` ${plural(found.reaped_total, "connection")} closed by force since the start.` : "";
  if (typeof found?.count !== "number") return `${NONE} Not known.${forced}`;
  if (found.count === 0) return `None: whatever a peer has closed is closed here too.${forced}`;
  return `${plural(found.count, "connection")}, the oldest for ${duration(found.oldest_s)}.${forced}`;
}

const BUDGETS = [
  plain(({ name }) => name, { heads: true }),
  { make: bar(["used"]), show: (parts, { used, limit }) => showBar(parts, [used], limit) },
  number(({ used }) => count(used)),
  number(({ limit }) => count(limit)),
  number(({ per_s }) => rate(per_s)),
  plain(({ exhausts_in_s, level }) =>
    level === null ? "" : exhausts_in_s === null ? "never" : duration(exhausts_in_s),
  ),
  {
    make: badge,
    show: (element, { level }) =>
      showBadge(element, ...(level === null ? ["", ""] : (LEVELS[level] ?? ["", level]))),
  },
];

export function budgets({ now: { snapshot } }) {
  const { fds, memory_bytes } = snapshot.process;
  const items = [...(snapshot.budgets ?? [])];
  if (!items.some(({ name }) => name === "descriptors")) {
    items.unshift({
      name: "descriptors",
      used: fds.used,
      limit: fds.limit,
      per_s: null,
      exhausts_in_s: null,
      level: null,
    });
  }
  keep(
    $("budget-table").tBodies[0],
    items,
    ({ name }) => name,
    () => row(BUDGETS),
  );
  text($("memory"), `Resident memory: ${bytes(memory_bytes)}.`);
}

/** Name, field; whether it is a counter, which has grown, or a setting. */
const KERNEL = [
  ["accept queue overflows", "listen_overflows", true],
  ["SYNs dropped by listeners", "listen_drops", true],
  ["SYNs dropped, queue full", "syn_queue_drops", true],
  ["SYNs answered with a cookie, queue full", "syn_queue_cookies", true],
  ["SYN cookies sent", "syncookies_sent", true],
  ["TIME_WAIT sockets thrown away", "time_wait_overflow", true],
  ["sockets without a process", "orphans"],
  ["memory of TCP, and its limit", "tcp_memory_bytes"],
  ["net.core.somaxconn", "somaxconn"],
  ["net.ipv4.tcp_max_syn_backlog", "tcp_max_syn_backlog"],
  ["net.ipv4.ip_local_port_range", "local_ports"],
  ["net.ipv4.tcp_tw_reuse", "tcp_tw_reuse"],
];

function kernelValue(field, value) {
  if (value === null || value === undefined) return NONE;
  if (field === "local_ports") return `${value[0]} to ${value[1]}`;
  if (field === "tcp_memory_bytes") return `${bytes(value[0])} of ${bytes(value[1])}`;
  return count(value);
}

const KERNEL_COLUMNS = [
  plain(({ name }) => name, { heads: true }),
  number(({ field, recent }) => kernelValue(field, recent.now.snapshot.kernel[field])),
  {
    ...number(() => ""),
    show: (cell, { field, counts, recent }) => {
      const growth = counts ? recent.growth((moment) => moment.snapshot.kernel[field]) : null;
      text(cell, !counts ? "" : growth ? `▲ +${count(growth)}` : growth === 0 ? "0" : NONE);
      attribute(cell, "class", growth ? "number watch" : "number");
    },
  },
];

export function kernel(recent) {
  const items = KERNEL.map(([name, field, counts = false]) => ({ name, field, counts, recent }));
  keep(
    $("kernel-table").tBodies[0],
    items,
    ({ field }) => field,
    () => row(KERNEL_COLUMNS),
  );
}
