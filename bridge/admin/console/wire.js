// What stands on a wire, read for showing: JSON and XML into lines, and into the values at their paths. It keeps every
// spelling (230.10 stays 230.10). Pure; what cannot be read gives null and is shown as it came.
//
// A path is the names from the payload down, joined with dots; the second and later of a list carry #1, #2, ...: so
// that a list of one in JSON and a single element in XML have the same.
//
// Whoever wrote it chose every character: reading takes time in proportion to its length, whatever it is. A tokenizer
// takes each character once, and gives up where it cannot go on.

const DEEPEST = 100;
// Characters: what is longer is shown as it came. And of a path: what lies deeper has none.
export const LONGEST = 100_000;
const LONGEST_PATH = 1000;

// null for a path that would be too long.
export function step(path, name, index) {
  const own = index > 0 ? `${name}#${index}` : name;
  const whole = path ? `${path}.${own}` : own;
  return whole.length > LONGEST_PATH ? null : whole;
}

// As the API writes a path: meterValue[0].sampledValue[1].unit.
export function pathOf(text) {
  return text.replace(/^\$?\.?/, "").replace(/\[(\d+)\]/g, (_, index) => (index === "0" ? "" : `#${index}`));
}

// {lines: [{depth, parts: [[class, text]], path}], values: Map(path, text)}, or null.
export function parsed(text, whole = false) {
  if (text.length > LONGEST) return null;
  const trimmed = text.trimStart();
  if (!trimmed) return null;
  try {
    return trimmed[0] === "<" ? new Xml(text).read() : new Json(text, whole).read();
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}

class Unreadable extends Error {}

// The payload's place in a frame, by its message type: CALL, CALLRESULT.
const PAYLOADS = { 2: 3, 3: 2 };

const BLANKS = /\s*/y, JSON_TOKEN = /"[^"\\]*(?:\\[^][^"\\]*)*"|[[\]{}:,]|[^\s[\]{}:,"]+/y;

function jsonTokens(text) {
  const tokens = [];
  for (let at = after(BLANKS, text, 0); at < text.length; at = after(BLANKS, text, at)) {
    const end = after(JSON_TOKEN, text, at);
    tokens.push(text.slice(at, end));
    at = end;
  }
  return tokens;
}

// Where that which `pattern`, a sticky one, matches at `at` ends.
function after(pattern, text, at) {
  pattern.lastIndex = at;
  if (!pattern.test(text)) throw new Unreadable();
  return pattern.lastIndex;
}

class Json {
  constructor(text, whole) {
    this.tokens = jsonTokens(text);
    this.at = 0;
    this.whole = whole;
    this.lines = [];
    this.values = new Map();
  }

  read() {
    const node = this.#node(0);
    if (this.at !== this.tokens.length) throw new Unreadable();
    this.frame = this.whole ? undefined : PAYLOADS[node.items?.[0]?.text];
    this.#write(node, 0, [], "", this.whole ? "" : null, 0);
    return this;
  }

  #next() {
    if (this.at >= this.tokens.length) throw new Unreadable();
    return this.tokens[this.at++];
  }

  #node(depth) {
    if (depth > DEEPEST) throw new Unreadable();
    const token = this.#next();
    if (token === "{") return { open: "{", close: "}", items: this.#items("}", depth, true) };
    if (token === "[") return { open: "[", close: "]", items: this.#items("]", depth, false) };
    if ("]},:".includes(token)) throw new Unreadable();
    return { text: token };
  }

  #items(close, depth, named) {
    const items = [];
    if (this.tokens[this.at] === close) { this.at++; return items; }
    for (;;) {
      const name = named ? this.#next() : undefined;
      if (named && (name[0] !== '"' || this.#next() !== ":")) throw new Unreadable();
      items.push({ ...this.#node(depth + 1), name });
      const token = this.#next();
      if (token === close) return items;
      if (token !== ",") throw new Unreadable();
    }
  }

  // `path` is null outside of the payload.
  #write(node, depth, before, after, path) {
    if (!node.items) {
      const value = plain(node.text);
      if (path) this.values.set(path, value);
      return void this.lines.push({ depth, parts: [...before, [kindOf(node.text), node.text], ["p", after]], path: path || null });
    }
    if (!node.items.length) return void this.lines.push({ depth, parts: [...before, ["p", node.open + node.close + after]], path: path || null });
    this.lines.push({ depth, parts: [...before, ["p", node.open]], path: null });
    node.items.forEach((item, index) => {
      const label = item.name === undefined ? [] : [["k", item.name], ["p", ": "]];
      this.#write(item, depth + 1, label, index < node.items.length - 1 ? "," : "", this.#pathOf(node, item, index, depth, path));
    });
    this.lines.push({ depth, parts: [["p", node.close + after]], path: null });
  }

  #pathOf(node, item, index, depth, path) {
    if (path === null) return depth === 0 && index === this.frame ? "" : null;
    if (item.name !== undefined) return step(path, plain(item.name), 0);
    return index > 0 ? (path.length > LONGEST_PATH - 10 ? null : `${path}#${index}`) : path;
  }
}

function kindOf(token) {
  return token[0] === '"' ? "s" : "n";
}

function plain(token) {
  if (token[0] !== '"') return token;
  try { return JSON.parse(token); } catch { return token; }
}

// How markup that is no element begins and ends; the first that fits.
const DELIMITED = [["<!--", "-->"], ["<![CDATA[", "]]>"], ["<?", "?>"], ["<!", ">"], ["</", ">"]];
const UNQUOTED = /[^<>"']*/y;

function xmlTokens(text) {
  const tokens = [];
  for (let at = 0, end; at < text.length; at = end) {
    end = text[at] === "<" ? endOfMarkup(text, at) : found(text.indexOf("<", at), text.length);
    tokens.push(text.slice(at, end));
  }
  return tokens;
}

function endOfMarkup(text, at) {
  const delimited = DELIMITED.find(([opening]) => text.startsWith(opening, at));
  return delimited ? past(text, delimited[1], at + delimited[0].length) : endOfTag(text, at + 1);
}

// A > in quotes ends no tag.
function endOfTag(text, start) {
  for (let at = start; ;) {
    at = after(UNQUOTED, text, at);
    const char = text[at];
    if (char === ">") return at + 1;
    if (char !== '"' && char !== "'") throw new Unreadable();
    at = past(text, char, at + 1);
  }
}

function past(text, closing, at) {
  return found(text.indexOf(closing, at)) + closing.length;
}

function found(index, otherwise) {
  if (index >= 0) return index;
  if (otherwise === undefined) throw new Unreadable();
  return otherwise;
}

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

class Xml {
  constructor(text) {
    this.tokens = xmlTokens(text);
    this.lines = [];
    this.values = new Map();
  }

  read() {
    const root = this.#tree();
    for (const child of root.children) this.#write(child, 0, null);
    return this;
  }

  #tree() {
    const root = { children: [] }, open = [root];
    for (const token of this.tokens) {
      const inside = open[open.length - 1];
      if (token.startsWith("</")) {
        if (open.length === 1 || open.pop().name !== token.slice(2, -1).trim()) throw new Unreadable();
      } else if (/^<[^!?]/.test(token)) {
        const element = elementOf(token);
        inside.children.push(element);
        if (!element.empty) open.push(element);
        if (open.length > DEEPEST) throw new Unreadable();
      } else if (token[0] === "<" || token.trim() || inside.name) inside.children.push({ text: token });
    }
    if (open.length !== 1) throw new Unreadable();
    return root;
  }

  // `path` is null outside of the payload, "" for what the Body holds.
  #write(node, depth, path, inBody = false) {
    if (node.text !== undefined) return void (node.text.trim() && this.lines.push({ depth, parts: [[node.text[0] === "<" ? "c" : "s", node.text.trim()]], path: null }));
    const own = inBody && node.local !== "Fault" ? "" : path;
    const elements = node.children.filter((child) => child.local);
    if (!elements.length) return this.#leaf(node, depth, own);
    this.lines.push({ depth, parts: opening(node), path: null });
    const seen = new Map();
    for (const child of node.children) {
      const index = seen.get(child.local) ?? 0;
      if (child.local) seen.set(child.local, index + 1);
      this.#write(child, depth + 1, own === null || !child.local ? null : step(own, child.local, index), node.local === "Body");
    }
    this.lines.push({ depth, parts: [["p", "</"], ["k", node.name], ["p", ">"]], path: null });
  }

  #leaf(node, depth, path) {
    const raw = node.children.map((child) => child.text).join("");
    if (path) this.values.set(path, unescaped(raw));
    if (node.empty) return void this.lines.push({ depth, parts: opening(node), path });
    this.lines.push({ depth, parts: [...opening(node), ["s", raw], ["p", "</"], ["k", node.name], ["p", ">"]], path });
  }
}

function elementOf(token) {
  const [, name, attributes, slash] = /^<([^\s/>]+)([\s\S]*?)(\/?)>$/.exec(token) ?? [];
  if (!name) throw new Unreadable();
  return { name, local: name.slice(name.indexOf(":") + 1), attributes: attributes.trim(), empty: slash === "/", children: [] };
}

function opening(node) {
  // Namespaces are declared on every other element and tell a reader nothing; the raw view has them.
  const own = node.attributes.replace(/\bxmlns(:[^\s=]{1,200})?\s{0,9}=\s{0,9}("[^"]*"|'[^']*')/g, "").replace(/\s+/g, " ").trim();
  const attributes = own ? [["a", ` ${own}`]] : [];
  return [["p", "<"], ["k", node.name], ...attributes, ["p", node.empty ? "/>" : ">"]];
}

function unescaped(raw) {
  if (raw.startsWith("<![CDATA[")) return raw.slice(9, -3);
  return raw.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, name) => {
    if (name) return ENTITIES[name] ?? all;
    const code = hex ? parseInt(hex, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : all;
  });
}
