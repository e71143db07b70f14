// The Charge Points that are selected, for bulk commands and moves. They stay selected from page to page, not over a
// reload.

class Selection extends EventTarget {
  #chosen = new Map();

  get size() {
    return this.#chosen.size;
  }

  get identities() {
    return [...this.#chosen.values()];
  }

  has(identity) {
    return this.#chosen.has(identity.toLowerCase());
  }

  set(identities, selected) {
    for (const identity of identities) {
      if (selected) this.#chosen.set(identity.toLowerCase(), identity);
      else this.#chosen.delete(identity.toLowerCase());
    }
    this.dispatchEvent(new Event("change"));
  }

  clear() {
    this.#chosen.clear();
    this.dispatchEvent(new Event("change"));
  }
}

export const selection = new Selection();
