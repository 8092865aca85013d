// Elements are made here and nowhere else. What comes from outside becomes text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

export const html = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const byId = (id) => document.getElementById(id);

// Say something to those who listen to the page instead of looking at it.
export function announce(text) {
  const announcer = byId("announcer");
  if (announcer.textContent !== text) announcer.textContent = text;
}

// A table that becomes a list of cards where it is narrow. The roles stay, whatever the style sheet makes of it.
// columns: {title, number, wide, cell(row)}; a cell is text, or an element; a wide one takes a line of a card alone.
export function table(caption, columns, rows, { key = null, attributes = () => ({}) } = {}) {
  const head = html("thead", { role: "rowgroup" }, html("tr", { role: "row" }, columns.map((column) =>
    html("th", { role: "columnheader", scope: "col", class: column.number ? "number" : null }, column.title))));
  const body = html("tbody", { role: "rowgroup" }, rows.map((row) =>
    html("tr", { role: "row", "data-key": key && key(row), ...attributes(row) }, columns.map((column) =>
      html("td", { role: "cell", "data-title": column.title, class: [column.number && "number", (typeof column.wide === "function" ? column.wide(row) : column.wide) && "wide"].filter(Boolean).join(" ") || null },
        column.cell(row))))));
  return html("table", { role: "table", "aria-label": caption }, head, body);
}

// Replace what an element holds, unless it would be the same: then a selection, and where the keyboard is, stay.
export function put(element, ...children) {
  const next = html("div", null, children);
  if (next.innerHTML === element.dataset.held) return;
  element.dataset.held = next.innerHTML;
  element.replaceChildren(...next.childNodes);
}
