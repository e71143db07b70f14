// The part of JSON Schema that the API describes messages with: references, types, limits. Pure.

// The schema that a reference stands for.
export function resolved(schema, root) {
  let found = schema;
  while (found.$ref) found = root.$defs[found.$ref.replace("#/$defs/", "")];
  return found;
}

export function isTime(schema) {
  return schema.format === "date-time";
}

// [{path, text}]: what keeps `value` from being sent. A path is a list of names and places.
export function problems(value, schema, root, path = []) {
  const found = resolved(schema, root), wrong = (text) => [{ path, text }];
  if (found.enum && !found.enum.includes(value)) return wrong(`must be one of ${found.enum.join(", ")}`);
  return CHECKS[found.type]?.(value, found, root, path, wrong) ?? [];
}

const CHECKS = {
  object(value, schema, root, path, wrong) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong("must be an object");
    const missing = (schema.required ?? []).filter((name) => value[name] === undefined).map((name) => ({ path: [...path, name], text: "is required" }));
    const inside = Object.entries(value).flatMap(([name, inner]) => {
      const own = Object.hasOwn(schema.properties ?? {}, name) ? schema.properties[name] : null;
      if (own) return problems(inner, own, root, [...path, name]);
      return schema.additionalProperties === false ? [{ path: [...path, name], text: "is not known here" }] : [];
    });
    return [...missing, ...inside];
  },
  array(value, schema, root, path, wrong) {
    if (!Array.isArray(value)) return wrong("must be a list");
    if (value.length < (schema.minItems ?? 0)) return wrong(`needs at least ${schema.minItems}`);
    if (value.length > (schema.maxItems ?? Infinity)) return wrong(`may hold ${schema.maxItems} at most`);
    return value.flatMap((inner, index) => problems(inner, schema.items ?? {}, root, [...path, index]));
  },
  string(value, schema, root, path, wrong) {
    if (typeof value !== "string") return wrong("must be text");
    const length = [...value].length;
    if (length < (schema.minLength ?? 0)) return wrong(schema.minLength === 1 ? "must not be empty" : `needs at least ${schema.minLength} characters`);
    if (length > (schema.maxLength ?? Infinity)) return wrong(`may have ${schema.maxLength} characters at most, has ${length}`);
    if (isTime(schema) && !timeIs(value)) return wrong("must be a time, as 2026-01-31T08:00:00Z");
    return [];
  },
  integer(value, schema, root, path, wrong) {
    return Number.isInteger(value) ? limits(value, schema, wrong) : wrong("must be a whole number");
  },
  number(value, schema, root, path, wrong) {
    if (typeof value !== "number" || !Number.isFinite(value)) return wrong("must be a number");
    // 0.3 is no multiple of 0.1 to a computer; how it is written tells.
    if (schema.multipleOf === 0.1 && !/^-?\d+(\.\d)?$/.test(String(value))) return wrong("may have one digit behind the point");
    return limits(value, schema, wrong);
  },
  boolean(value, schema, root, path, wrong) {
    return typeof value === "boolean" ? [] : wrong("must be true or false");
  },
};

function limits(value, schema, wrong) {
  if (value < (schema.minimum ?? -Infinity)) return wrong(`must be ${schema.minimum} or more`);
  if (value > (schema.maximum ?? Infinity)) return wrong(`must be ${schema.maximum} or less`);
  return [];
}

// RFC 3339: a day that is in the calendar, and a zone.
function timeIs(text) {
  const found = /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/.exec(text);
  if (!found) return false;
  const [year, month, day] = found.slice(1, 4).map(Number), date = new Date(Date.UTC(2000, month - 1, day));
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

// What a person is told of the limits beside a field.
export function hint(schema) {
  if (isTime(schema)) return "time, with its zone";
  if (schema.type === "integer") return ["whole number", ...bounds(schema)].join(", ");
  if (schema.type === "number") return schema.multipleOf ? "number, one digit behind the point" : "number";
  if (schema.type === "array") return schema.maxItems ? `list, up to ${schema.maxItems}` : "list";
  if (schema.type === "string" && !schema.enum) return schema.maxLength ? `text, up to ${schema.maxLength}` : "text";
  return "";
}

// Those of 32 bits go without saying.
function bounds({ minimum, maximum }) {
  return [minimum > -(2 ** 31) ? `${minimum} or more` : "", maximum < 2 ** 31 - 1 ? `${maximum} or less` : ""].filter(Boolean);
}
