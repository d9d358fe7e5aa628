// Lines over the last 15 minutes: small ones in tables, large ones with a scale.

import { h, svg, text, attribute } from "./dom.js";
import { NONE, time } from "./format.js";

const SPAN_MS = 900_000;
/** Longer without a sample, and the line has a gap. */
const GAP_MS = 15_000;

/** The path of a line in a box of this size; null and missing samples leave gaps. */
export function path(times, values, top, width, height) {
  const end = times.at(-1) ?? 0;
  let d = "";
  let before = null;
  times.forEach((time, at) => {
    const value = values[at];
    if (value === null || value === undefined) {
      before = null;
      return;
    }
    const x = width * (1 - (end - time) / SPAN_MS);
    const y = top > 0 ? height - (value / top) * height : height;
    const joined = before !== null && time - before <= GAP_MS;
    // A sample between two gaps is a point.
    d += `${joined ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}${joined ? "" : "h.1"}`;
    before = time;
  });
  return d;
}

const largest = (columns) => Math.max(0, ...columns.flat().filter((value) => value !== null));

/** A line without a scale, for a cell: { element, update(times, values, words) }. */
export function sparkline() {
  const line = svg("path");
  const element = svg(
    "svg",
    { class: "spark", viewBox: "0 -2 120 28", preserveAspectRatio: "none", role: "img" },
    line,
  );
  const update = (times, values, words) => {
    const top = largest([values]);
    attribute(line, "d", path(times, values, top, 120, 24));
    attribute(element, "aria-label", top ? `${words}, at most ${top}` : `${words}: nothing`);
  };
  return { element, update };
}

/**
 * A chart of several columns with one scale, a legend and the value under the pointer.
 * `lines`: [{ name, format }]; update(times, columns) with one column for each line.
 */
export function chart(title, format, names) {
  const paths = names.map((_, at) => svg("path", { class: `line line-${at}` }));
  const cursor = svg("path", { class: "cursor" });
  const drawing = svg(
    "svg",
    { viewBox: "0 -3 300 86", preserveAspectRatio: "none", role: "img", "aria-label": title },
    svg("path", { class: "grid", d: "M0 0H300M0 40H300M0 80H300" }),
    ...paths,
    cursor,
  );
  const values = names.map(() => h("span", { class: "value" }, NONE));
  const legend = names.map((name, at) =>
    h("li", null, h("span", { class: `key line-${at}`, "aria-hidden": "true" }), `${name} `, values[at]),
  );
  const [scale, when] = [h("span"), h("span", null, "now")];
  const element = h(
    "figure",
    null,
    h("figcaption", null, h("strong", null, title), " ", h("ul", { class: "legend" }, ...legend)),
    h("div", { class: "plot" }, drawing),
    h("p", { class: "axis", "aria-hidden": "true" }, h("span", null, "15 min ago"), scale, when),
  );
  const shown = { times: [], columns: names.map(() => []), at: null };

  const point = () => {
    const { times, columns, at } = shown;
    const place = at === null ? times.length - 1 : at;
    values.forEach((value, line) => text(value, format(columns[line][place])));
    text(when, at === null ? "now" : `at ${time(times[at])}`);
    const x = at === null ? null : 300 * (1 - (times.at(-1) - times[at]) / SPAN_MS);
    attribute(cursor, "d", x === null ? "" : `M${x} 0V80`);
  };
  drawing.addEventListener("pointermove", (event) => {
    const { left, width } = drawing.getBoundingClientRect();
    const wanted = (shown.times.at(-1) ?? 0) - SPAN_MS * (1 - (event.clientX - left) / width);
    const later = shown.times.findIndex((one) => one >= wanted);
    shown.at = later === -1 ? null : later;
    point();
  });
  drawing.addEventListener("pointerleave", () => {
    shown.at = null;
    point();
  });

  const update = (times, columns) => {
    Object.assign(shown, { times, columns, at: null });
    const most = largest(columns);
    text(scale, most ? `0 to ${format(most)}` : "");
    columns.forEach((column, at) => attribute(paths[at], "d", path(times, column, most, 300, 80)));
    const now = columns.map((column, at) => `${names[at]} ${format(column.at(-1))}`).join(", ");
    attribute(drawing, "aria-label", `${title} over 15 minutes: now ${now}; at most ${format(most)}`);
    point();
  };
  return { element, update };
}
