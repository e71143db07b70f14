// An answer of the API that is asked for again and again while its page is open, and drawn when it has changed.

import { loaded } from "./parts.js";
import { stream } from "./stream.js";

// place   where `draw` draws, and where trouble is told
// every   milliseconds between two requests
// load    asks for the answer
// draw    (answer) => nothing
// Gives a way to ask at once. Where trouble is told, nothing is asked until somebody tries again, or the live stream is
// back: it must not be told again and again.
export function followed({ place, signal, every, load, draw }) {
  let shown = "";
  const troubled = () => place.querySelector(".trouble") !== null;
  const again = () => loaded(place, signal, load, (answer) => {
    const text = JSON.stringify(answer);
    if (text === shown && !troubled()) return;
    shown = text;
    draw(answer);
  });
  again();
  const timer = setInterval(() => { if (!document.hidden && !troubled()) again(); }, every);
  signal.addEventListener("abort", () => clearInterval(timer));
  stream.addEventListener("missed", () => { if (troubled()) again(); }, { signal });
  return again;
}
