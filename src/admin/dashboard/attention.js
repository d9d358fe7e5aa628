// What is wrong, worst first: the part of the page that is read under stress. Every finding says what
// it is, how much, and what helps.

import { count, duration, percent, plural, rate } from "./format.js";
import { endpointKey, inState, listenerKey, pooled, reuse, sum } from "./recent.js";

/** As many of one kind are shown; of the others, the number. */
const SHOWN = 5;
/** A CLOSE_WAIT of that age is not one that is just being dealt with. */
const CLOSE_WAIT_OLD_S = 60;
const CLOSE_WAIT_MANY = 100;
const QUEUE_NEAR = 0.5;
const QUEUE_FULL = 0.9;
/** Fewer leases say nothing. */
const LEASES_MIN = 100;
const REUSE_LOW = 0.5;
const SOON_S = 600;
const FULL = 0.9;

/**
 * All findings: { severity: "act" | "watch", kind, key, title, detail, help, target, subject }. `target`
 * is the section that shows more, `subject` the listener or endpoint.
 */
export function findings(recent) {
  const all = [
    ...draining(recent),
    ...ports(recent),
    ...closeWait(recent),
    ...queues(recent),
    ...health(recent),
    ...names(recent),
    ...errors(recent),
    ...rejects(recent),
    ...waiting(recent),
    ...poorReuse(recent),
    ...budgets(recent),
    ...kernel(recent),
    ...census(recent),
  ];
  const order = (finding) => (finding.severity === "act" ? 0 : 1);
  return shortened(all.sort((one, other) => order(one) - order(other)));
}

/** Sixty endpoints with the same trouble are one trouble. */
function shortened(all) {
  const counts = new Map();
  const shown = [];
  for (const finding of all) {
    const seen = (counts.get(finding.kind) ?? 0) + 1;
    counts.set(finding.kind, seen);
    if (seen <= SHOWN) shown.push(finding);
  }
  for (const [kind, total] of counts) {
    if (total <= SHOWN) continue;
    const last = shown.findLast((finding) => finding.kind === kind);
    last.detail += ` And ${count(total - SHOWN)} more like this.`;
  }
  return shown;
}

const within = (recent) =>
  recent.span >= 59 ? "in the last minute" : `in the last ${plural(Math.round(recent.span), "second")}`;

function endpoints(recent) {
  return recent.now.snapshot.upstreams.flatMap((upstream) =>
    upstream.endpoints.map((endpoint) => ({ upstream, endpoint, key: endpointKey(upstream, endpoint) })),
  );
}

const nameOf = ({ upstream, endpoint }) => `${endpoint.address} of ${upstream.name}`;

function draining({ now }) {
  if (!now.snapshot.draining) return [];
  const left = sum(now.snapshot.listeners.map((listener) => listener.sessions.current));
  return [
    {
      severity: "watch",
      kind: "drain",
      key: "drain",
      target: "listeners",
      title: "This instance is draining",
      detail: `It takes no new clients; ${plural(left, "session")} left.`,
      help: "It ends when they are done, or after runtime.shutdown_timeout.",
    },
  ];
}

const LEVELS = {
  warn: ["watch", "Source ports are getting scarce"],
  reuse_only: ["act", "Source ports are scarce: requests wait for a pooled connection"],
  refuse: ["act", "Source ports are nearly gone: no connection is opened"],
};

function ports(recent) {
  return endpoints(recent).flatMap((one) =>
    (one.endpoint.ports ?? []).flatMap((ports) => {
      const soon = ports.exhausts_in_s !== null && ports.exhausts_in_s < SOON_S;
      if (ports.level === "ok" && !soon) return [];
      const [severity, title] = LEVELS[ports.level] ?? ["watch", "Source ports will be scarce soon"];
      const end = ports.exhausts_in_s === null ? "" : `, none left in ${duration(ports.exhausts_in_s)}`;
      return [
        {
          severity,
          kind: "ports",
          key: `ports ${one.key} ${ports.source}`,
          target: "ports",
          subject: `e ${one.key}`,
          title,
          detail:
            `${ports.source} to ${nameOf(one)}: ${count(ports.free)} of ${count(ports.capacity)} free, ` +
            `${count(ports.time_wait)} in TIME_WAIT, ${rate(ports.opens_per_s)} opened a second${end}.`,
          help: "Fewer new connections help at once (is reuse low?), then more source addresses, then a wider ip_local_port_range.",
        },
      ];
    }),
  );
}

function closeWait({ now }) {
  const found = now.snapshot.close_wait;
  if (!found?.count) return [];
  const bad = found.oldest_s >= CLOSE_WAIT_OLD_S || found.count >= CLOSE_WAIT_MANY;
  const owners = [...new Set(found.sockets.map((socket) => socket.name))].slice(0, 3).join(", ");
  return [
    {
      severity: bad ? "act" : "watch",
      kind: "close_wait",
      key: "close_wait",
      target: "close-wait",
      title: "Connections are in CLOSE_WAIT",
      detail:
        `${plural(found.count, "connection")} whose peer has closed, the oldest for ${duration(found.oldest_s)}` +
        `${owners ? `; of ${owners}` : ""}.`,
      help: "Something holds them open here. The list has the owner of each and what it waits for.",
    },
  ];
}

function queues(recent) {
  const found = recent.now.snapshot.listeners.flatMap((listener) => overflow(recent, listener) ?? filling(listener));
  const overflows = recent.growth((moment) => moment.snapshot.kernel.listen_overflows);
  // What a listener of ours has dropped is told with its name.
  if (overflows && found.every((finding) => finding.kind !== "overflow")) {
    found.push({
      severity: "act",
      kind: "overflow",
      key: "overflow",
      target: "kernel",
      title: "Accept queues overflow on this host",
      detail: `${plural(overflows, "connection")} did not fit ${within(recent)}; their clients wait and try again.`,
      help: "No listener of this instance is known to drop any: look at the others with ss -ltn.",
    });
  }
  return found.sort((one, other) => (other.kind === "overflow") - (one.kind === "overflow"));
}

function overflow(recent, listener) {
  const key = listenerKey(listener);
  const dropped = recent.growth((moment) => moment.listeners.get(key)?.accept_queue.drops_total);
  if (!dropped) return null;
  const { depth, depth_max: most, limit } = listener.accept_queue;
  return [
    {
      severity: "act",
      kind: "overflow",
      key: `overflow ${key}`,
      target: "listeners",
      subject: `l ${key}`,
      title: "A listener turns clients away",
      detail:
        `${listener.name} at ${listener.address}: ${plural(dropped, "connection")} dropped before they were accepted, ` +
        `${within(recent)}; ${count(depth)} wait in a queue of ${count(limit)}, and ${count(most)} did at most.`,
      help: "Raise listener.socket.backlog and net.core.somaxconn, or add workers; the log names the queue that was full.",
    },
  ];
}

function filling(listener) {
  const { depth, limit } = listener.accept_queue;
  if (depth === null || !limit || depth / limit < QUEUE_NEAR) return [];
  return [
    {
      severity: depth / limit >= QUEUE_FULL ? "act" : "watch",
      kind: "queue",
      key: `queue ${listenerKey(listener)}`,
      target: "listeners",
      subject: `l ${listenerKey(listener)}`,
      title: "An accept queue is filling",
      detail: `${listener.name} at ${listener.address}: ${count(depth)} of ${count(limit)} wait to be accepted.`,
      help: "The workers do not keep up, or the backlog is too short for the bursts that come.",
    },
  ];
}

function health(recent) {
  return recent.now.snapshot.upstreams.flatMap((upstream) => {
    const down = upstream.endpoints.filter((endpoint) => endpoint.health === "down");
    const none = down.length === upstream.endpoints.length;
    return down.map((endpoint) => ({
      severity: none ? "act" : "watch",
      kind: `down ${upstream.name}`,
      key: `down ${endpointKey(upstream, endpoint)}`,
      target: "endpoints",
      subject: `e ${endpointKey(upstream, endpoint)}`,
      title: none ? `No endpoint of ${upstream.name} is up` : "An endpoint is down",
      detail:
        `${endpoint.address} of ${upstream.name} does not accept connections; ` +
        `${count(upstream.endpoints.length - down.length)} of ${count(upstream.endpoints.length)} are up.`,
      help: "It is tried again, less and less often.",
    }));
  });
}

/** Names that are not answered for, and those that stand for no endpoint. */
function names(recent) {
  return recent.now.snapshot.upstreams.flatMap((upstream) => {
    const none = upstream.endpoints.length === 0;
    const wrong = (upstream.discovery ?? []).filter((name) => none || name.failures > 0);
    return wrong.map((name) => ({
      severity: none ? "act" : "watch",
      kind: `name ${upstream.name}`,
      key: `name ${upstream.name} ${name.name}`,
      target: "endpoints",
      title: none ? `${upstream.name} has no endpoint` : "A name is not answered for",
      detail: `${name.name} of ${upstream.name}: ${name.error ?? "no answer yet"}.`,
      help: none
        ? "Requests are answered with 503 until the name stands for an endpoint."
        : "The endpoints that were found last are used until its name servers answer again.",
    }));
  });
}

function errors(recent) {
  return endpoints(recent).flatMap((one) => {
    const of = (field) => recent.growth((moment) => moment.endpoints.get(one.key)?.[field]);
    const [local, remote] = [of("local_errors_total"), of("connect_errors_total")];
    const finding = { target: "endpoints", subject: `e ${one.key}` };
    return [
      ...(local
        ? [
            {
              ...finding,
              severity: "act",
              kind: "local",
              key: `local ${one.key}`,
              title: "This host lacks something to open connections",
              detail: `${plural(local, "connect")} to ${nameOf(one)} failed for want of ports, descriptors or memory ${within(recent)}.`,
              help: "Look at the source ports and the budgets below.",
            },
          ]
        : []),
      ...(remote && one.endpoint.health !== "down"
        ? [
            {
              ...finding,
              severity: "watch",
              kind: "connect",
              key: `connect ${one.key}`,
              title: "Connects fail",
              detail: `${plural(remote, "connect")} to ${nameOf(one)} failed ${within(recent)}.`,
              help: "It refused, did not answer in time, or cannot be reached.",
            },
          ]
        : []),
    ];
  });
}

function rejects(recent) {
  return recent.now.snapshot.listeners.flatMap((listener) => {
    const key = listenerKey(listener);
    const grown = Object.keys(listener.rejects)
      .map((reason) => [reason, recent.growth((moment) => moment.listeners.get(key)?.rejects[reason] ?? 0)])
      .filter(([, growth]) => growth)
      .sort(([, one], [, other]) => other - one);
    if (!grown.length) return [];
    const reasons = grown
      .slice(0, 3)
      .map(([reason, growth]) => `${reason} ${count(growth)}`)
      .join(", ");
    return [
      {
        severity: "watch",
        kind: "rejects",
        key: `rejects ${key}`,
        target: "listeners",
        subject: `l ${key}`,
        title: "Requests are refused or answered with an error of our own",
        detail: `${listener.name}: ${count(sum(grown.map(([, growth]) => growth)))} ${within(recent)} (${reasons}).`,
        help: "docs/REASONS.md says what each reason means.",
      },
    ];
  });
}

function waiting(recent) {
  return endpoints(recent)
    .filter((one) => one.endpoint.connections.waiting > 0)
    .map((one) => ({
      severity: "watch",
      kind: "waiting",
      key: `waiting ${one.key}`,
      target: "endpoints",
      subject: `e ${one.key}`,
      title: "Requests wait for a connection",
      detail:
        `${plural(one.endpoint.connections.waiting, "request")} for ${nameOf(one)}, with ` +
        `${count(one.endpoint.connections.leased)} connections in use.`,
      help: "The endpoint is slow, or pool.max_connections is too small for it.",
    }));
}

function poorReuse(recent) {
  const names = pooled(recent.now.snapshot);
  return endpoints(recent)
    .filter((one) => names.has(one.upstream.name))
    .flatMap((one) => {
      const of = (field) => recent.growth((moment) => moment.endpoints.get(one.key)?.[field]);
      const [opened, reused] = [of("opened_total"), of("reused_total")];
      const part = reuse(opened, reused);
      if (part === null || opened + reused < LEASES_MIN || part >= REUSE_LOW) return [];
      return [
        {
          severity: "watch",
          kind: "reuse",
          key: `reuse ${one.key}`,
          target: "endpoints",
          subject: `e ${one.key}`,
          title: "Connections are hardly reused",
          detail: `${nameOf(one)}: ${percent(part)} of ${count(opened + reused)} leases ${within(recent)}; ${count(opened)} were opened.`,
          help: "Does it answer with Connection: close, or close idle connections early? Its discards in /stats say why each ended.",
        },
      ];
    });
}

function budgets({ now }) {
  const found = (now.snapshot.budgets ?? [])
    .filter((budget) => budget.level !== "ok")
    .map((budget) => ({
      severity: budget.level === "critical" ? "act" : "watch",
      kind: "budget",
      key: `budget ${budget.name}`,
      target: "budgets",
      title: `Little is left of: ${budget.name}`,
      detail:
        `${count(budget.used)} of ${count(budget.limit)} taken` +
        `${budget.exhausts_in_s === null ? "" : `, none left in ${duration(budget.exhausts_in_s)}`}.`,
      help: "Raise the limit, or have fewer connections open.",
    }));
  const { used, limit } = now.snapshot.process.fds;
  if (!now.snapshot.budgets?.length && used !== null && used / limit >= FULL) {
    found.push({
      severity: "act",
      kind: "budget",
      key: "budget descriptors",
      target: "budgets",
      title: "Little is left of: descriptors",
      detail: `${count(used)} of ${count(limit)} taken.`,
      help: "Raise RLIMIT_NOFILE, or have fewer connections open.",
    });
  }
  return found;
}

const COUNTERS = [
  [
    "time_wait_overflow",
    "TIME_WAIT sockets were thrown away",
    "net.ipv4.tcp_max_tw_buckets is too small for this host.",
  ],
  [
    "syn_queue_drops",
    "SYNs were dropped, as a queue of half-open connections was full",
    "Raise net.ipv4.tcp_max_syn_backlog and the backlog.",
  ],
  [
    "syn_queue_cookies",
    "SYNs were answered with cookies, as a queue was full",
    "A flood of SYNs, or a backlog that is too short.",
  ],
];

function kernel(recent) {
  const found = COUNTERS.flatMap(([field, title, help]) => {
    const growth = recent.growth((moment) => moment.snapshot.kernel[field]);
    return growth
      ? [
          {
            severity: "watch",
            kind: field,
            key: field,
            target: "kernel",
            title: `On this host, ${title}`,
            detail: `${count(growth)} ${within(recent)}.`,
            help,
          },
        ]
      : [];
  });
  const memory = recent.now.snapshot.kernel.tcp_memory_bytes;
  if (memory && memory[1] && memory[0] / memory[1] >= FULL) {
    found.push({
      severity: "act",
      kind: "memory",
      key: "memory",
      target: "kernel",
      title: "The kernel is short of memory for TCP",
      detail: `${percent(memory[0] / memory[1])} of net.ipv4.tcp_mem is used; beyond it connections are dropped.`,
      help: "Raise net.ipv4.tcp_mem, or have fewer slow connections with full buffers.",
    });
  }
  return found;
}

/** What the kernel says of sockets is as old as the last look at them. */
function census({ now }) {
  const found = now.snapshot.census;
  if (!found || found.age_s <= Math.max(3 * found.interval_s, 10)) return [];
  return [
    {
      severity: "watch",
      kind: "census",
      key: "census",
      target: "notes",
      title: "The kernel's view is old",
      detail: `TCP states, ports and queues are from ${duration(found.age_s)} ago.`,
      help: "The notes may say why.",
    },
  ];
}

/** What cannot be judged, because it is not known. */
export function unknowns({ now: { snapshot } }) {
  const all = snapshot.upstreams.flatMap((upstream) => upstream.endpoints);
  return [
    all.every((endpoint) => endpoint.ports === null) && "source ports",
    typeof snapshot.close_wait?.count !== "number" && "CLOSE_WAIT",
    snapshot.listeners.every((listener) => listener.accept_queue.depth === null) && "accept queues",
  ].filter(Boolean);
}

/** How bad a state is for what is shown: null, "watch" or "act". */
export function severityOf(state, number, { snapshot, endpoints: shown }) {
  if (!number) return null;
  if (state === "close_wait") {
    const oldest = snapshot.close_wait?.oldest_s ?? 0;
    return oldest >= CLOSE_WAIT_OLD_S || number >= CLOSE_WAIT_MANY ? "act" : "watch";
  }
  if (state === "syn_recv" && snapshot.kernel.tcp_max_syn_backlog) {
    return number / snapshot.kernel.tcp_max_syn_backlog >= QUEUE_NEAR ? "watch" : null;
  }
  if (state === "time_wait") {
    const levels = shown.flatMap((endpoint) => (endpoint.ports ?? []).map((ports) => ports.level));
    const held = shown.some((endpoint) => inState(endpoint.tcp_states, "time_wait") > 0);
    if (held && levels.some((level) => level === "reuse_only" || level === "refuse")) return "act";
    return held && levels.includes("warn") ? "watch" : null;
  }
  return null;
}
