// A list of thousands of rows of which only those in sight exist. A grid to assistive technology: it says how many rows
// there are, and which one is active. j/k, arrows, Page, Home, End move; Enter opens.

import { fill, h } from "./dom.js";
import { sorter, sortOf } from "./sorting.js";

const AHEAD = 8;

// label    of the grid
// columns  [{name, class, sort}]: the header; `sort` names what the rows are sorted by when its button is pressed, if they can be
// sorted   {by, descending}: how they are sorted now
// sort     (by, descending) => nothing: what the buttons of the header do
// cells    (item) => the contents of its cells, in the order of the columns
// open     (item) => nothing: what Enter and a click do
// wanted   (index) => nothing: told which row is looked at and not there yet
// toggle   (item) => nothing: what Space does, where rows can be selected
export class Grid {
  active = -1;
  #items = [];
  #total = 0;
  #drawn = new Map();
  #options;

  constructor(options) {
    this.#options = options;
    this.#head = h("div", { role: "row", class: "row head", "aria-rowindex": 1 });
    this.#drawHead();
    this.#body = h("div", { role: "rowgroup", class: "rows" });
    this.#empty = h("p", { class: "empty", hidden: true });
    this.element = h("div", {
      role: "grid", tabindex: 0, class: `grid ${options.class ?? ""}`, "aria-label": options.label,
      "aria-colcount": options.columns.length, on: { keydown: (event) => this.#key(event), scroll: () => this.draw() },
    }, h("div", { role: "rowgroup", class: "heads" }, this.#head), this.#body);
    this.container = h("div", { class: "gridbox" }, this.element, this.#empty);
    this.#watch = new ResizeObserver(() => this.#resized());
    this.#watch.observe(this.element);
  }

  // The rows are sorted like this from now on.
  sortedBy(by, descending) {
    this.#options = { ...this.#options, sorted: { by, descending } };
    this.#drawHead();
  }

  #drawHead() {
    const { columns, sorted, sort } = this.#options;
    const held = this.#head.contains(document.activeElement) && document.activeElement.dataset.sort;
    fill(this.#head, columns.map((column) => h("div", { role: "columnheader", class: column.class, ...sortOf(column.sort, sorted).attributes },
      column.sort ? sorter(column.name, column.sort, sorted, (by, descending) => { this.sortedBy(by, descending); sort(by, descending); }) : column.name)));
    if (held) this.#head.querySelector(`[data-sort="${held}"]`)?.focus();
  }

  #head; #body; #empty; #watch; #height = 0;

  close() {
    this.#watch.disconnect();
  }

  // `items` may have holes up to `total`; `empty` is said when there is nothing.
  show(items, total, empty = "Nothing here.") {
    this.#items = items;
    this.#total = total;
    if (this.active >= total) this.active = total - 1;
    this.element.setAttribute("aria-rowcount", total + 1);
    this.#empty.textContent = empty;
    this.#empty.hidden = total > 0;
    this.#forget();
    this.draw();
  }

  // The row of `index` again: its item has changed.
  refresh(index) {
    const row = this.#drawn.get(index);
    if (!row) return;
    const fresh = this.#row(index);
    row.replaceWith(fresh);
    this.#drawn.set(index, fresh);
  }

  // Every row again: something about all of them has changed.
  refreshAll() {
    for (const index of [...this.#drawn.keys()]) this.refresh(index);
  }

  // One row came in before the first: what is looked at stays where it is.
  shifted(count) {
    if (this.active >= 0) this.active += count;
    if (this.element.scrollTop > this.#height) this.element.scrollTop += count * this.#height;
  }

  get inSight() {
    const height = this.#height || 36;
    const first = Math.max(0, Math.floor(this.element.scrollTop / height) - AHEAD);
    const last = Math.min(this.#total, Math.ceil((this.element.scrollTop + this.element.clientHeight) / height) + AHEAD);
    return [first, last];
  }

  draw() {
    if (!this.element.isConnected) return;
    if (!this.#height) this.#measure();
    this.#body.style.height = `${this.#total * this.#height}px`;
    const [first, last] = this.inSight;
    for (const [index, row] of this.#drawn) {
      if (index < first || index >= last) { row.remove(); this.#drawn.delete(index); }
    }
    let missing = -1;
    for (let index = first; index < last; index++) {
      if (this.#items[index] === undefined) missing = index;
      if (!this.#drawn.has(index)) this.#place(index);
    }
    this.#point();
    if (missing >= 0) this.#options.wanted?.(missing);
  }

  // An active row that is out of sight does not exist, and cannot be pointed at.
  #point() {
    if (this.#drawn.has(this.active)) this.element.setAttribute("aria-activedescendant", this.#idOf(this.active));
    else this.element.removeAttribute("aria-activedescendant");
  }

  #place(index) {
    const row = this.#row(index);
    const next = [...this.#drawn.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
    this.#body.insertBefore(row, next === undefined ? null : this.#drawn.get(next));
    this.#drawn.set(index, row);
  }

  #row(index) {
    const item = this.#items[index], active = index === this.active;
    const row = h("div", {
      role: "row", id: this.#idOf(index), class: `row ${item === undefined ? "waiting" : ""} ${this.#options.mark?.(item) ?? ""}`,
      "aria-rowindex": index + 2, "aria-selected": String(active), on: { click: (event) => this.#clicked(event, index) },
    }, this.#cells(item));
    row.style.top = `${index * this.#height}px`;
    return row;
  }

  #cells(item) {
    const contents = item === undefined ? [] : this.#options.cells(item);
    return this.#options.columns.map((column, at) => h("div", { role: "gridcell", class: column.class }, contents[at] ?? null));
  }

  #idOf(index) {
    return `${this.#options.id}-${index}`;
  }

  #measure() {
    this.#height = parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) || 36;
  }

  #resized() {
    const before = this.#height;
    this.#measure();
    if (before !== this.#height) this.#forget();
    this.draw();
  }

  #forget() {
    for (const row of this.#drawn.values()) row.remove();
    this.#drawn.clear();
  }

  #clicked(event, index) {
    this.#activate(index, false);
    // A link in the row does its own work, in another tab if so asked.
    if (!event.target.closest("a, button, label") && !getSelection().toString()) this.#open();
  }

  #open() {
    const item = this.#items[this.active];
    if (item !== undefined) this.#options.open(item);
  }

  #toggle() {
    const item = this.#items[this.active];
    if (item !== undefined) this.#options.toggle(item);
  }

  // Also from outside: j and k work wherever the focus is.
  move(by) {
    this.element.focus({ preventScroll: true });
    this.#activate(Math.min(this.#total - 1, Math.max(0, this.active + by)), true);
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.#height) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) this.move(steps[event.key]);
    else if (event.key === "Enter" && event.target === this.element) this.#open();
    else if (event.key === " " && event.target === this.element && this.#options.toggle) this.#toggle();
    else return;
    event.preventDefault();
  }

  #activate(index, follow) {
    if (this.#total === 0) return;
    const before = this.active;
    this.active = index;
    if (follow) this.#reveal(index);
    this.draw();
    this.#drawn.get(before)?.setAttribute("aria-selected", "false");
    this.#drawn.get(index)?.setAttribute("aria-selected", "true");
    this.#point();
  }

  #reveal(index) {
    const head = this.#head.offsetHeight, top = index * this.#height, view = this.element.clientHeight - head;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top + this.#height > this.element.scrollTop + view) this.element.scrollTop = top + this.#height - view;
  }
}
