// Values generated from JSON Schemas: what they allow, what they do not, and what nobody foresaw.
import fc from "fast-check";

export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minLength?: number;
  maxLength?: number;
  maxItems?: number;
  minimum?: number;
  maximum?: number;
  pattern?: string;
  format?: string;
}

/** Whatever holds the schemas that a `$ref` names. */
type Root = object;

/** What a `$ref` of the document points to. */
export function resolve<T extends { $ref?: string }>(document: Root, value: T): T {
  if (value.$ref === undefined) return value;
  const target = value.$ref
    .slice(2)
    .split("/")
    .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document);
  return resolve(document, target as T);
}

const LONGEST = 60;

/** Values that a schema allows; texts and lists are kept short. */
export function valid(document: Root, given: Schema, depth = 0): fc.Arbitrary<unknown> {
  const schema = resolve(document, given);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => valid(document, choice, depth)));
  if (schema.allOf !== undefined) return valid(document, schema.allOf[0] ?? {}, depth);
  if (Array.isArray(schema.type)) {
    return fc.oneof(...schema.type.map((type) => valid(document, { ...schema, type }, depth)));
  }
  switch (schema.type) {
    case "string":
      return text(schema);
    case "integer":
      return fc.integer({ min: schema.minimum ?? -1000, max: Math.min(schema.maximum ?? 1000, 2 ** 31 - 1) });
    case "number":
      return fc.double({ min: schema.minimum ?? -10, max: schema.maximum ?? 10, noNaN: true });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(valid(document, schema.items ?? {}, depth + 1), {
        maxLength: Math.min(schema.maxItems ?? 3, 3),
      });
    case "object":
      return object(document, schema, depth);
    default:
      return depth > 3 ? fc.constant(null) : fc.jsonValue({ maxDepth: 2 });
  }
}

function text({ pattern, format, minLength = 0, maxLength = LONGEST }: Schema): fc.Arbitrary<string> {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern), { size: "xsmall" });
  if (format === "date-time") return fc.constant("2026-01-15T13:25:00Z");
  if (format === "uuid") return fc.uuid();
  if (format === "email") return fc.constant("somebody@example.com");
  return fc.string({ unit: "grapheme", minLength, maxLength: Math.min(maxLength, LONGEST) });
}

function object(document: Root, schema: Schema, depth: number): fc.Arbitrary<unknown> {
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) {
    if (schema.additionalProperties === false) return fc.constant({});
    const values = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
    return fc.dictionary(fc.stringMatching(/^[A-Z][A-Z_]{0,9}$/), valid(document, values, depth + 1), {
      maxKeys: 3,
    });
  }
  const model = Object.fromEntries(fields.map(([name, field]) => [name, valid(document, field, depth + 1)]));
  return fc.record(model, { requiredKeys: schema.required ?? [] });
}

/** What is never right, or right by accident. */
export const junk: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    1e308,
    2 ** 53,
    -(2 ** 31) - 1,
    "",
    " ",
    "\u0000",
    "\ud800",
    "\u202e",
    "'; drop table agents; --",
    "__proto__",
    "constructor",
    "NaN",
    "Infinity",
    "1e5",
    "2026-02-30T25:61:00Z",
    "{{7*7}}",
    [],
    {},
    [[]],
    { "": "" },
    { __proto__x: 1 },
  ),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.integer(),
  fc.double(),
  fc.constant("x".repeat(70_000)),
  fc.constant("é".repeat(2001)),
  fc.constant(Array.from({ length: 200 }, () => "a")),
  fc.jsonValue({ maxDepth: 4 }),
);

/** A value with up to three of its parts replaced, removed, added to or wrapped. */
export function mutated(value: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const mutation = fc.record({
    at: fc.nat(),
    how: fc.constantFrom("replace", "remove", "add", "wrap"),
    junk,
    name: fc.oneof(fc.constantFrom("extra", "__proto__", "constructor", ""), fc.string({ maxLength: 20 })),
  });
  return fc.tuple(value, fc.array(mutation, { minLength: 1, maxLength: 3 })).map(([original, mutations]) => {
    // A holder, so that the whole value can be replaced too.
    const holder = { root: structuredClone(original) };
    for (const { at, how, junk: other, name } of mutations) {
      const places = placesOf(holder);
      const place = places[at % places.length];
      if (place === undefined) continue;
      const { parent, key } = place;
      if (how === "remove" && parent !== holder) delete parent[key];
      else if (how === "wrap") put(parent, key, [parent[key]]);
      else if (how === "add" && isRecord(parent[key]) && !Array.isArray(parent[key]))
        put(parent[key], name, structuredClone(other));
      else put(parent, key, structuredClone(other));
    }
    return holder.root;
  });
}

type Holder = Record<string, unknown>;
/** As JSON.parse does it: `__proto__` is a name like any other. */
const put = (parent: Holder, key: string, value: unknown): void => {
  Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
};
const isRecord = (value: unknown): value is Holder => typeof value === "object" && value !== null;

function placesOf(parent: Holder, depth = 0): { parent: Holder; key: string }[] {
  return Object.keys(parent).flatMap((key) => {
    const value = parent[key];
    return [{ parent, key }, ...(isRecord(value) && depth < 5 ? placesOf(value, depth + 1) : [])];
  });
}
