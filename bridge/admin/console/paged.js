// A list of the API as long as it is, fetched page by page as far as it is looked at.

import { get } from "./api.js";

const PAGE = 200;

export class Paged {
  items = [];
  total = 0;
  // The page that came last.
  last = {};
  #path; #parameters; #changed; #failed;
  #cursor = null; #more = false; #busy = false; #goal = -1; #signal; #abort = new AbortController();

  // `changed()` is told whenever there are more; `failed(error)` when they could not be had.
  constructor({ path, signal, changed, failed }) {
    this.#path = path;
    this.#signal = signal;
    this.#changed = changed;
    this.#failed = failed;
  }

  // From the start, with these filters.
  async load(parameters) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#parameters = parameters;
    this.#cursor = null;
    this.#busy = false;
    this.#goal = -1;
    await this.#next(true);
  }

  // Row `index` is looked at: pages follow one another until it is there.
  want(index) {
    this.#goal = Math.max(this.#goal, index);
    if (!this.#busy && this.#more) this.#next(false);
  }

  get hasMore() {
    return this.#more;
  }

  async #next(first) {
    const abort = this.#abort;
    this.#busy = true;
    try {
      const page = await get(this.#path, { ...this.#parameters, limit: PAGE, cursor: this.#cursor }, AbortSignal.any([abort.signal, this.#signal]));
      if (abort.signal.aborted) return;
      this.#take(page, first);
    } catch (error) {
      if (error.name !== "AbortError") this.#failed(error);
      if (abort === this.#abort) this.#busy = false;
    }
  }

  #take(page, first) {
    this.items = first ? page.items : [...this.items, ...page.items];
    this.last = page;
    this.#cursor = page.next;
    this.#more = page.next !== null;
    this.total = page.total ?? this.items.length;
    this.#busy = false;
    this.#changed();
    if (!this.#busy && this.#more && this.#goal >= this.items.length) this.#next(false);
  }
}
