// What stands in the cells of more than one table.

import { sparkline } from "./chart.js";
import { attribute, h, text } from "./dom.js";
import { count } from "./format.js";

/** A level in words and shape, not in colour alone. */
export const LEVELS = {
  ok: ["fine", "ok"],
  warn: ["watch", "warn"],
  reuse_only: ["act", "reuse only"],
  refuse: ["act", "refuse"],
  critical: ["act", "critical"],
};

export function badge(cell) {
  const element = h("span", { class: "badge" });
  cell.append(element);
  return element;
}

export function showBadge(element, severity, words) {
  attribute(element, "class", `badge ${severity ?? ""}`);
  text(element, words);
}

/** A bar of parts of a whole; the numbers stand beside it. */
export function bar(kinds) {
  return (cell) => {
    const parts = kinds.map((kind) => h("span", { class: kind }));
    cell.append(h("span", { class: "bar", "aria-hidden": "true" }, ...parts));
    return parts;
  };
}

export function showBar(parts, values, total) {
  parts.forEach((part, at) => {
    const width = total > 0 && values[at] ? `${Math.min(100, (100 * values[at]) / total).toFixed(2)}%` : "0";
    if (part.style.width !== width) part.style.width = width;
  });
}

/** A button that makes this what the drawing and the charts show. */
export const chooser = (key, name, choose) => ({
  heads: true,
  make: (cell) => {
    const button = h("button", { type: "button", class: "link" });
    const detail = h("span", { class: "detail" });
    cell.append(button, detail);
    const parts = { button, detail, key: null };
    button.addEventListener("click", () => choose(parts.key));
    return parts;
  },
  show: (parts, item) => {
    const [title, more] = name(item);
    parts.key = key(item);
    text(parts.button, title);
    text(parts.detail, more ? ` ${more}` : "");
  },
});

export const spark = (subject, column, words) => ({
  make: (cell) => {
    const one = sparkline();
    cell.append(one.element);
    return one;
  },
  show: (one, item) => {
    if (one.drawn === item.history.times.at(-1) && one.length === item.history.times.length) return;
    [one.drawn, one.length] = [item.history.times.at(-1), item.history.times.length];
    one.update(item.history.times, item.history.column(subject(item), column), words);
  },
});

/** A count that should be 0. */
export const flagged = (read) => ({
  number: true,
  show: (cell, item) => {
    const value = read(item);
    text(cell, value ? `▲ ${count(value)}` : count(value));
    attribute(cell, "class", value ? "number watch" : "number");
  },
});
