// What the drawing and the charts are about: all connections, a side, a listener or an endpoint.

import { chart } from "./chart.js";
import { $, h, keep, text } from "./dom.js";
import { count, hourAndMinute, rate } from "./format.js";
import { endpointKey, listenerKey } from "./recent.js";
import { show as showStates } from "./states.js";

const LISTENER_CHARTS = [
  ["Sessions", count, [["open", "sessions"]]],
  [
    "A second",
    rate,
    [
      ["requests", "requests_per_s"],
      ["accepted", "accepts_per_s"],
      ["refused", "rejects_per_s"],
    ],
  ],
  [
    "Closing",
    count,
    [
      ["TIME_WAIT", "time_wait"],
      ["CLOSE_WAIT", "close_wait"],
    ],
  ],
  ["Accept queue", count, [["waiting", "accept_queue"]]],
];
const ENDPOINT_CHARTS = [
  [
    "Connections",
    count,
    [
      ["leased", "leased"],
      ["idle", "idle"],
      ["waiting requests", "waiting"],
    ],
  ],
  [
    "A second",
    rate,
    [
      ["reused", "reuses_per_s"],
      ["opened", "opens_per_s"],
      ["failed", "errors_per_s"],
    ],
  ],
  [
    "Closing",
    count,
    [
      ["TIME_WAIT", "time_wait"],
      ["CLOSE_WAIT", "close_wait"],
    ],
  ],
  ["Ports free", count, [["free", "ports_free"]]],
];

let chosen = "all";
let charts = [];

/** Which is chosen: "all", "l", "e", "l NAME ADDRESS" or "e UPSTREAM ADDRESS". */
export const subject = () => chosen;

/** Chooses, and goes there if that is asked for. */
export function choose(key, { go = false } = {}) {
  chosen = key;
  $("subject").value = key;
  build();
  if (go) {
    $("states").scrollIntoView();
    $("subject").focus({ preventScroll: true });
  }
}

/** `changed` is called when something else is to be shown. */
export function listen(changed) {
  $("chart-details").addEventListener("toggle", changed);
  $("subject").addEventListener("change", () => {
    choose($("subject").value);
    changed();
  });
  build();
}

/** Shows the states of what is chosen in this snapshot; what is there to choose from may have changed. */
export function show(snapshot) {
  const options = [
    { key: "all", name: "all connections" },
    { key: "l", name: "all clients" },
    { key: "e", name: "all endpoints" },
    ...snapshot.listeners.map((one) => ({
      key: `l ${listenerKey(one)}`,
      name: `clients of ${one.name} at ${one.address}`,
    })),
    ...snapshot.upstreams.flatMap((upstream) =>
      upstream.endpoints.map((one) => ({
        key: `e ${endpointKey(upstream, one)}`,
        name: `endpoint ${one.address} of ${upstream.name}`,
      })),
    ),
  ];
  const option = ({ key }) => {
    const element = h("option", { value: key });
    return { element, update: ({ name }) => text(element, name) };
  };
  const select = $("subject");
  if (select.kept === undefined) select.replaceChildren();
  keep(select, options, ({ key }) => key, option);
  if (!options.some(({ key }) => key === chosen)) choose("all");
  if (select.value !== chosen) select.value = chosen;
  text($("subject-name"), options.find(({ key }) => key === chosen).name);
  showStates({
    snapshot,
    listeners: snapshot.listeners.filter(
      (one) => chosen === "all" || chosen === "l" || chosen === `l ${listenerKey(one)}`,
    ),
    endpoints: snapshot.upstreams.flatMap((upstream) =>
      upstream.endpoints.filter(
        (one) => chosen === "all" || chosen === "e" || chosen === `e ${endpointKey(upstream, one)}`,
      ),
    ),
  });
}

/** Which charts belong to the choice: [title, format, [[name, series, column]]]. */
function specifications() {
  const of = (series, list) =>
    list.map(([title, format, lines]) => [
      title,
      format,
      lines.map(([name, column]) => [name, series, column]),
    ]);
  if (chosen === "all") {
    const [sessions, clients] = of("l", LISTENER_CHARTS);
    const [connections, opened] = of("e", ENDPOINT_CHARTS);
    return [
      ["Clients: sessions", ...sessions.slice(1)],
      ["Clients: a second", ...clients.slice(1)],
      ["Endpoints: connections", ...connections.slice(1)],
      ["Endpoints: a second", ...opened.slice(1)],
    ];
  }
  const list = chosen.startsWith("l") ? LISTENER_CHARTS : ENDPOINT_CHARTS;
  return of(chosen, list).map(([title, format, lines]) =>
    chosen === "e" && title === "Ports free"
      ? ["Ports free, where fewest are", format, lines]
      : [title, format, lines],
  );
}

function build() {
  charts = specifications().map(([title, format, lines]) => ({
    title,
    format,
    lines,
    ...chart(
      title,
      format,
      lines.map(([name]) => name),
    ),
  }));
  $("charts").replaceChildren(...charts.map(({ element }) => element));
}

/** Draws the charts of what is chosen, and their table where it is open. */
export function showHistory(history) {
  const drawn = charts.map((one) => ({
    ...one,
    columns: one.lines.map(([, series, column]) => history.column(series, column)),
  }));
  for (const { update, columns } of drawn) update(history.times, columns);
  if ($("chart-details").open) showTable(history, drawn);
}

/** One row a minute, the last first. */
function showTable(history, drawn) {
  const table = $("chart-table");
  const minutes = history.times
    .flatMap((time, at) => (at % 12 === (history.times.length - 1) % 12 ? [at] : []))
    .reverse();
  const cell = (value) => h("td", { class: "number" }, value);
  const heads = drawn.flatMap(({ title, lines }) =>
    lines.map(([name]) => h("th", { scope: "col", class: "number" }, `${title}: ${name}`)),
  );
  table.tHead.replaceChildren(h("tr", null, h("th", { scope: "col" }, "time"), ...heads));
  table.tBodies[0].replaceChildren(
    ...minutes.map((at) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, hourAndMinute(history.times[at])),
        ...drawn.flatMap(({ format, columns }) => columns.map((column) => cell(format(column[at])))),
      ),
    ),
  );
}
