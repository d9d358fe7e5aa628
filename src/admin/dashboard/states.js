// The TCP states: boxes with counts in the drawing, and the same as a table.

import { severityOf } from "./attention.js";
import { $, attribute, h, keep, plain, number, row, svg, text } from "./dom.js";
import { NONE, count } from "./format.js";
import { inState, sum } from "./recent.js";

/** Name in the figures, name in RFC 9293, middle of the box, what it means. */
const STATES = [
  ["listen", "LISTEN", 360, 130, "a socket that waits for clients"],
  ["syn_sent", "SYN-SENT", 600, 215, "we connect, nothing has come back"],
  ["syn_recv", "SYN-RECEIVED", 120, 215, "a client connects, its ACK is awaited"],
  ["established", "ESTABLISHED", 360, 300, "open both ways"],
  ["fin_wait1", "FIN-WAIT-1", 120, 395, "we closed, no ACK of it yet"],
  ["fin_wait2", "FIN-WAIT-2", 120, 490, "we closed, the peer has not"],
  ["closing", "CLOSING", 360, 490, "both closed at once"],
  ["time_wait", "TIME-WAIT", 360, 592, "over, the port rests a minute"],
  ["close_wait", "CLOSE-WAIT", 600, 395, "the peer closed, we have not"],
  ["last_ack", "LAST-ACK", 600, 490, "both closed, no ACK of our FIN yet"],
  ["closed", "CLOSED", 360, 40, "no connection"],
  ["end", "CLOSED", 600, 592, ""],
];
/** In which there are no sockets to count. */
const UNCOUNTED = ["closed", "end"];

const boxes = new Map();

/** Draws the boxes, once. */
export function draw() {
  for (const [state, name, x, y] of STATES) {
    const small = UNCOUNTED.includes(state);
    const number = svg("text", { x, y: y + 18, class: "count" });
    const mark = svg("text", { x: x + 66, y: y - 10, class: "mark" });
    const box = svg(
      "g",
      { class: "state" },
      svg("rect", { x: x - 75, y: y - 27, width: 150, height: 54, rx: 8 }),
      svg("rect", { x: x - 71, y: y - 23, width: 142, height: 46, rx: 5, class: "inner" }),
      svg("text", { x, y: small ? y + 5 : y - 7, class: "name" }, name),
      number,
      mark,
    );
    $("boxes").append(box);
    boxes.set(state, { box, number, mark });
  }
}

/** What is shown: { snapshot, listeners, endpoints } of the chosen subject. */
export function show(shown) {
  const maps = [...shown.listeners, ...shown.endpoints].map((one) => one.tcp_states);
  const counted = STATES.filter(([state]) => state !== "end").map(([state, name, , , meaning]) => {
    const number = UNCOUNTED.includes(state) ? null : inOne(maps, state);
    return { state, name, meaning, number, severity: severityOf(state, number, shown) };
  });
  for (const { state, number, severity } of counted) paint(boxes.get(state), state, number, severity);
  const rows = counted.filter(({ state }) => !UNCOUNTED.includes(state));
  keep(
    $("state-table").tBodies[0],
    rows,
    ({ state }) => state,
    () => row(COLUMNS),
  );
}

/** A socket that listens is in the figures only if the kernel's view has it. */
function inOne(maps, state) {
  if (state === "listen") return sum(maps.map((map) => map?.listen ?? null));
  return sum(maps.map((map) => inState(map, state)));
}

function paint({ box, number, mark }, state, value, severity) {
  const kind = severity ?? (value ? "some" : "none");
  attribute(box, "class", `state ${kind}`);
  text(number, UNCOUNTED.includes(state) ? "" : count(value));
  text(mark, severity === "act" ? "◆" : severity === "watch" ? "▲" : "");
}

const COLUMNS = [
  plain(({ name }) => name, { heads: true }),
  number(({ number }) => (number === null ? NONE : count(number))),
  {
    make: (cell) => {
      const [badge, meaning] = [h("span", { class: "badge" }), h("span")];
      cell.append(badge, meaning);
      return { badge, meaning };
    },
    show: ({ badge, meaning }, { severity, meaning: words }) => {
      badge.hidden = severity === null;
      attribute(badge, "class", `badge ${severity ?? ""}`);
      text(badge, severity ?? "");
      text(meaning, words);
    },
  },
];
