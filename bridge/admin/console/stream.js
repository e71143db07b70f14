// Live events: Server-Sent Events read with fetch, which may carry a token. Comes back by itself and asks for what it
// missed. Dispatches the events of the API by their names, `status` (live | lost | regained | off) and `missed`.

import { call, headers, read } from "./api.js";

const FIRST_WAIT = 500, LONGEST_WAIT = 8000;

class Stream extends EventTarget {
  state = "off";
  #identity = undefined;
  #last = "";
  #abort = new AbortController();
  #wake = () => {};

  // Follow one Charge Point, or all with null. Does nothing if that is what it does.
  follow(identity) {
    if (this.#identity === identity && this.state !== "off") return;
    this.#identity = identity;
    this.#last = "";
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#run(this.#abort.signal);
  }

  stop() {
    this.#abort.abort();
    this.#identity = undefined;
    this.#tell("off");
  }

  retryNow() {
    this.#wake();
  }

  async #run(signal) {
    for (let wait = FIRST_WAIT; !signal.aborted; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        await this.#read(signal, () => { wait = FIRST_WAIT; });
      } catch (error) {
        if (error.status === 401) return void (signal.aborted || this.stop());
      }
      if (signal.aborted) return;
      this.#tell("lost");
      await this.#pause(wait);
    }
  }

  async #read(signal, begun) {
    const query = this.#identity ? `?identity=${encodeURIComponent(globOf(this.#identity))}` : "";
    const resume = this.#last ? { "Last-Event-ID": this.#last } : {};
    const response = await call(`/events${query}`, { headers: headers(resume), cache: "no-store", signal });
    if (!response.ok) await read(response);
    begun();
    // Without an id to resume from, what happened since a page was asked for is not known; and after a loss, what a
    // page asked for meanwhile may have failed.
    if (!this.#last || this.state === "lost") this.dispatchEvent(new CustomEvent("missed"));
    this.#tell(this.state === "lost" ? "regained" : "live");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = parser((event) => this.#took(event));
    for (let part = await reader.read(); !part.done; part = await reader.read()) parse(part.value);
  }

  #took({ id, name, data }) {
    if (id) this.#last = id;
    if (name === "gap") this.dispatchEvent(new CustomEvent("missed"));
    let detail;
    try { detail = JSON.parse(data); } catch { return; }
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #tell(state) {
    if (state === this.state) return;
    this.state = state === "regained" ? "live" : state;
    this.dispatchEvent(new CustomEvent("status", { detail: state }));
  }

  #pause(wait) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }
}

// An identity as a glob that only matches it.
export function globOf(identity) {
  return identity.replace(/[[*?]/g, "[$&]");
}

// Lines in parts as they come; `took` gets {id, name, data} per event.
export function parser(took) {
  let rest = "", event = { id: "", name: "message", data: [] };
  const line = (text) => {
    if (text === "") {
      if (event.data.length) took({ ...event, data: event.data.join("\n") });
      event = { id: "", name: "message", data: [] };
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(text);
    if (field === "data") event.data.push(value);
    else if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
  };
  return (part) => {
    const lines = (rest + part).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

export const stream = new Stream();
window.addEventListener("online", () => stream.retryNow());
document.addEventListener("visibilitychange", () => { if (!document.hidden) stream.retryNow(); });
