// A form made from a schema. What is left empty is left out; lists grow and shrink; the same values as JSON.

import { button, fill, h, icon } from "./dom.js";
import { hint, isTime, resolved } from "./schema.js";

let counted = 0;

// {element, read() -> value, show(problems)}; `changed` is told of every edit.
export function formOf(schema, value, changed) {
  const fields = new Map();
  const context = { root: schema, fields, changed };
  const whole = objectOf(resolved(schema, schema), value ?? {}, context, []);
  return { element: whole.element, read: () => whole.read() ?? {}, show: (problems) => shown(fields, problems) };
}

// Gives back the problems that no field could show.
function shown(fields, problems) {
  for (const each of fields.values()) each.clear();
  const first = problems.find((problem) => fields.has(problem.path.join("/")));
  const rest = problems.filter((problem) => !fields.get(problem.path.join("/"))?.tell(problem.text));
  if (first) fields.get(first.path.join("/")).focus();
  return rest;
}

function editorOf(schema, value, context, path, required) {
  const found = resolved(schema, context.root);
  if (found.type === "object") return objectOf(found, value ?? {}, context, path);
  if (found.type === "array") return listOf(found, value ?? [], context, path);
  return leafOf(found, value, context, path, required);
}

function objectOf(schema, value, context, path) {
  const members = Object.entries(schema.properties ?? {}).map(([name, own]) => memberOf(name, own, schema, value, context, path));
  return {
    element: h("div", { class: "members" }, members.map((member) => member.element)),
    read() {
      const given = members.map((member) => [member.name, member.read()]).filter(([, each]) => each !== undefined);
      return Object.fromEntries(given);
    },
  };
}

function memberOf(name, own, schema, value, context, path) {
  const required = (schema.required ?? []).includes(name), found = resolved(own, context.root);
  const where = [...path, name];
  if (found.type !== "object" && found.type !== "array") {
    const leaf = leafOf(found, value[name], context, where, required);
    return { name, element: labelled(name, found, required, leaf), read: leaf.read };
  }
  return { name, ...groupOf(name, found, value[name], context, where, required) };
}

function labelled(name, schema, required, leaf) {
  return h("div", { class: "member" }, h("label", { for: leaf.id }, name, required ? h("span", { class: "must" }, "required") : null, h("small", {}, hint(schema))), leaf.element);
}

// An object or a list: there at once when required, else when asked for.
function groupOf(name, schema, value, context, path, required) {
  let editor = null;
  const body = h("div", {}), note = problemNote();
  const put = (given) => {
    editor = editorOf(schema, given, context, path, required);
    const away = required ? null : button("Leave out", () => { editor = null; drop(context.fields, path); offer(); context.changed(); }, { class: "small" });
    fill(body, editor.element, away);
  };
  const offer = () => fill(body, button(`Add ${name}`, () => { put(undefined); context.changed(); body.querySelector("input, select, button")?.focus(); }, { class: "small" }));
  if (required || value !== undefined) put(value);
  else offer();
  const element = h("fieldset", { class: "group" }, h("legend", {}, name, required ? h("span", { class: "must" }, "required") : null, h("small", {}, hint(schema))), note.element, body);
  context.fields.set(path.join("/"), { ...note, focus: () => body.querySelector("input, select, textarea, button")?.focus() });
  return { element, read: () => editor?.read() };
}

function drop(fields, path) {
  const start = `${path.join("/")}/`;
  for (const key of fields.keys()) if (key.startsWith(start)) fields.delete(key);
}

function listOf(schema, value, context, path) {
  let editors = [];
  const items = h("ol", { class: "items" });
  const add = (given) => {
    editors.push(editorOf(schema.items ?? {}, given, context, [...path, editors.length], true));
    draw();
  };
  // The places behind one that goes away change: all are made anew from what they hold.
  const away = (index) => {
    const kept = editors.map((editor) => editor.read()).filter((_, at) => at !== index);
    drop(context.fields, path);
    editors = [];
    kept.forEach(add);
    draw();
    context.changed();
  };
  const draw = () => fill(items, editors.map((editor, index) => h("li", {}, editor.element,
    button(icon("down"), () => away(index), { class: "plain", "aria-label": `Remove ${path.at(-1)} ${index + 1}`, title: "Remove" }))));
  value.forEach(add);
  while (editors.length < (schema.minItems ?? 0)) add(undefined);
  const more = button("Add", () => { add(undefined); context.changed(); items.lastChild.querySelector("input, select")?.focus(); }, { class: "small", "aria-label": `Add to ${path.at(-1)}` });
  return { element: h("div", {}, items, more), read: () => editors.map((editor) => editor.read() ?? "") };
}

function leafOf(schema, value, context, path, required) {
  const id = `field-${++counted}`, note = problemNote(id), control = controlOf(schema, value, required, id);
  if (typeof path.at(-1) === "number") control.setAttribute("aria-label", `${path.at(-2)} ${path.at(-1) + 1}`);
  control.addEventListener("input", () => { note.clear(); control.removeAttribute("aria-invalid"); context.changed(); });
  const now = isTime(schema) ? button("Now", () => { control.value = new Date().toISOString().replace(/\.\d+/, ""); context.changed(); }, { class: "small" }) : null;
  context.fields.set(path.join("/"), {
    clear() { note.clear(); control.removeAttribute("aria-invalid"); },
    tell(text) { control.setAttribute("aria-invalid", "true"); return note.tell(text); },
    focus: () => control.focus(),
  });
  return { id, element: h("div", { class: "leaf" }, control, now, note.element), read: () => readAs(schema, control.value) };
}

function problemNote(id = `field-${++counted}`) {
  const element = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  return {
    element,
    clear() { element.hidden = true; },
    tell(text) { element.textContent = text; element.hidden = false; return true; },
  };
}

function controlOf(schema, value, required, id) {
  const known = { id, "aria-describedby": `${id}-wrong`, "aria-required": required ? "true" : null };
  const options = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
  if (options) {
    const select = h("select", known, h("option", { value: "" }, required ? "choose" : "left out"), options.map((each) => h("option", { value: String(each) }, String(each))));
    select.value = value === undefined ? "" : String(value);
    return select;
  }
  const given = value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  const whole = schema.type === "integer";
  return h("input", { ...known, type: "text", value: given, inputmode: whole ? "numeric" : schema.type === "number" ? "decimal" : null, autocomplete: "off", spellcheck: "false" });
}

// The value as the schema wants it; what is not of that kind stays text, and the check says so.
function readAs(schema, text) {
  if (text === "") return undefined;
  if (schema.type === "boolean") return text === "true" ? true : text === "false" ? false : text;
  if (schema.enum) return schema.enum.find((each) => String(each) === text) ?? text;
  const number = schema.type === "integer" || schema.type === "number";
  return number && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
