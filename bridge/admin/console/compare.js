// What changed on the way through: the values that came in, beside those that went out. Pure.

import { parsed, pathOf } from "./wire.js";

// One half of a message, read: {received, model, sent} each as `parsed` gives it or null, `differences` by path.
export function compared(half, losses) {
  const read = {
    received: half.received ? parsed(half.received.text) : null,
    model: half.model === null || half.model === undefined ? null : parsed(JSON.stringify(half.model), true),
    sent: half.sent ? parsed(half.sent.text) : null,
  };
  return { ...read, differences: differences(read, losses) };
}

function differences({ received, model, sent }, losses) {
  const before = (received ?? model)?.values, after = (sent ?? model)?.values;
  const found = new Map();
  if (before?.size && after?.size) {
    for (const path of new Set([...before.keys(), ...after.keys()])) {
      const was = before.get(path), is = after.get(path);
      if (was === is) continue;
      found.set(path, { kind: was === undefined ? "added" : is === undefined ? "dropped" : "changed", was, is, reason: "" });
    }
  }
  for (const loss of losses) marked(found, before, after, loss);
  return found;
}

// A loss names a field, with or without the places in the lists above it.
function marked(found, before, after, loss) {
  const path = pathOf(loss.path ?? "");
  const fits = (known) => known === path || known.replace(/#\d+/g, "") === path;
  const known = [...found.keys()].filter(fits);
  for (const each of known) Object.assign(found.get(each), { loss: true, reason: loss.reason });
  if (!known.length) found.set(path, { kind: "loss", loss: true, was: before?.get(path), is: after?.get(path), reason: loss.reason });
}
