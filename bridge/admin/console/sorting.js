// Headers of columns that sort: a button, and aria-sort on the cell around it. Of a grid and of a table alike.

import { button, h, icon } from "./dom.js";

// What the header of the column `by` says of itself, where the rows are sorted as `sorted` ({by, descending}) says.
export function sortOf(by, sorted) {
  if (!by) return { attributes: {} };
  const direction = sorted?.by !== by ? "none" : sorted.descending ? "descending" : "ascending";
  return { direction, attributes: { "aria-sort": direction } };
}

// The button of a header: `sort(by, descending)` is called with the other direction, or with the column that was not
// sorted by before.
export function sorter(name, by, sorted, sort) {
  const { direction } = sortOf(by, sorted);
  const mark = direction === "none" ? null : h("span", { class: "direction" }, icon(direction));
  return button([name, mark], () => sort(by, direction === "ascending"), { class: "sorter", data: { sort: by } });
}
