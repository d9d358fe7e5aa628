// Elements, made and kept up to date without ever turning a text into markup.

const SVG = "http://www.w3.org/2000/svg";

/** Finds an element of the page. */
export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; a string becomes a text node. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Sets a text, if it is another one: what has not changed need not be laid out again. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

/** Sets an attribute, or removes it for null, if that changes anything. */
export function attribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/**
 * Makes the children of `parent` one for each item, in their order. An item with a known key keeps its
 * element: `make(item)` returns { element, update }, and `update(item)` is called every time.
 */
export function keep(parent, items, key, make) {
  const before = (parent.kept ??= new Map());
  const after = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    const row = before.get(name) ?? make(item);
    before.delete(name);
    after.set(name, row);
    row.update(item);
    if (row.element === place) place = place.nextSibling;
    else parent.insertBefore(row.element, place);
  }
  for (const row of before.values()) row.element.remove();
  parent.kept = after;
}

/** One cell for each column; the column's `show(cell, item)` fills it in. */
export function row(columns) {
  const cells = columns.map((column) => {
    const kind = column.heads ? "th" : "td";
    return h(kind, { ...(column.heads && { scope: "row" }), ...(column.number && { class: "number" }) });
  });
  const element = h("tr", null, ...cells);
  const parts = columns.map((column, at) => column.make?.(cells[at]) ?? cells[at]);
  const update = (item) => columns.forEach((column, at) => column.show(parts[at], item, cells[at]));
  return { element, update };
}

/** A column that is a text. */
export const plain = (read, more) => ({ ...more, show: (cell, item) => text(cell, read(item)) });
export const number = (read, more) => plain(read, { ...more, number: true });
