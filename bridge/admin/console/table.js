// A table as a card that scrolls sideways where it is too wide, with headers that sort.

import { fill, h } from "./dom.js";
import { sorter, sortOf } from "./sorting.js";

// label    of the table
// columns  [{name, class, by}]: `by` gives what the rows are sorted by, a number or a text; without it, the column does not sort
// cells    (row) => the contents of its cells, in the order of the columns
// sorted   {by, descending}: by the name of which column the rows are sorted first; without it, as they are given
// Gives {element, show}; `show(rows, empty)` draws other rows, and says `empty` where there are none.
export function tableOf({ label, columns, cells, sorted = null }) {
  let shown = [], said = "";
  const box = h("div", { class: "card scroll", tabindex: 0, role: "region", "aria-label": label });
  const draw = () => {
    const held = box.contains(document.activeElement) && document.activeElement.dataset.sort;
    const header = columns.map((column) => {
      const by = column.by ? column.name : null;
      return h("th", { scope: "col", class: column.class, ...sortOf(by, sorted).attributes }, by ? sorter(column.name, by, sorted, again) : column.name);
    });
    fill(box, shown.length ? h("table", {}, h("thead", {}, h("tr", {}, header)), h("tbody", {}, ordered(shown, columns, sorted).map((row) => rowOf(cells(row), columns))))
      : h("p", { class: "empty" }, said));
    if (held) box.querySelector(`[data-sort="${CSS.escape(held)}"]`)?.focus();
  };
  const again = (by, descending) => { sorted = { by, descending }; draw(); };
  return { element: box, show(rows, empty) { [shown, said] = [rows, empty]; draw(); } };
}

// The element of a table that does not sort: the names of its columns, and the cells of each row.
export function table(label, names, rows) {
  const made = tableOf({ label, columns: names.map((name) => ({ name })), cells: (cells) => cells });
  made.show(rows);
  return made.element;
}

function rowOf(contents, columns) {
  return h("tr", {}, contents.map((content, at) => h("td", { class: columns[at].class }, content ?? h("span", { class: "quiet" }, "–"))));
}

function ordered(rows, columns, sorted) {
  const by = columns.find(({ name }) => name === sorted?.by)?.by;
  if (!by) return rows;
  const compare = (one, two) => (typeof one === "number" && typeof two === "number" ? one - two : String(one ?? "").localeCompare(String(two ?? ""), "en", { numeric: true }));
  return [...rows].sort((one, two) => compare(by(one), by(two)) * (sorted.descending ? -1 : 1));
}
