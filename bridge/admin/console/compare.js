// What changed on the way through: the values that came in, beside those that went out. Pure.

import { LONGEST, parsed, pathOf } from "./wire.js";

// One half of a message, read: {received, model, sent} each as `parsed` gives it or null, `differences` by path;
// `large`: one of them is too long to be read.
export function compared(half, losses) {
  const read = {
    received: half.received ? parsed(half.received.text) : null,
    model: half.model === null || half.model === undefined ? null : parsed(JSON.stringify(half.model), true),
    sent: half.sent ? parsed(half.sent.text) : null,
  };
  const large = [half.received, half.sent].some((form) => form && form.text.length > LONGEST);
  return { ...read, large, differences: differences(read, losses) };
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
  mark(found, before, after, losses);
  return found;
}

// A loss names a field, with or without the places in the lists above it.
function mark(found, before, after, losses) {
  const byPlace = new Map();
  for (const path of found.keys()) added(byPlace, path.replace(/#\d+/g, ""), path);
  const seen = new Set();
  for (const loss of losses) {
    const path = pathOf(loss.path ?? ""), told = `${path}\n${loss.reason}`;
    if (seen.has(told)) continue;
    seen.add(told);
    const known = path.includes("#") ? (found.has(path) ? [path] : []) : byPlace.get(path) ?? [];
    for (const each of known) Object.assign(found.get(each), { loss: true, reason: loss.reason });
    if (known.length) continue;
    found.set(path, { kind: "loss", loss: true, was: before?.get(path), is: after?.get(path), reason: loss.reason });
    added(byPlace, path.replace(/#\d+/g, ""), path);
  }
}

function added(lists, key, value) {
  if (lists.has(key)) lists.get(key).push(value);
  else lists.set(key, [value]);
}
