// Requests generated from an OpenAPI document: what its schemas allow, what they do not, and what nobody foresaw.
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

interface Parameter {
  $ref?: string;
  name: string;
  in: "path" | "query" | "header";
  schema: Schema;
}

export interface Operation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: { required: boolean; content: { "application/json": { schema: Schema } } };
  responses: Record<string, { $ref?: string; content?: { "application/json": { schema: Schema } } }>;
}

export interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, unknown>>;
}

/** One request; `token` and `agent` name what the test puts in their place. */
export interface GeneratedRequest {
  method: string;
  /** The document's path and operation, where the request is one of them. */
  pattern: string | undefined;
  /** With query; `{agentId}` stands for the agent. */
  path: string;
  headers: Record<string, string>;
  body: string | Buffer | undefined;
  token: "owner" | "other" | "none" | "forged" | "garbage" | "secret";
  agent: "definition" | "deployed" | "foreign" | string;
}

/** What a `$ref` of the document points to. */
export function resolve<T extends { $ref?: string }>(document: Document, value: T): T {
  if (value.$ref === undefined) return value;
  const target = value.$ref
    .slice(2)
    .split("/")
    .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], document);
  return resolve(document, target as T);
}

const LONGEST = 60;

/** Values that a schema allows; texts and lists are kept short. */
export function valid(document: Document, given: Schema, depth = 0): fc.Arbitrary<unknown> {
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

function object(document: Document, schema: Schema, depth: number): fc.Arbitrary<unknown> {
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

/** Requests to a document's operations, and around them. */
export function requests(document: Document): fc.Arbitrary<GeneratedRequest> {
  const operations = Object.entries(document.paths).flatMap(([pattern, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      pattern,
      method: method.toUpperCase(),
      operation,
    })),
  );
  const known = fc
    .constantFrom(...operations)
    .chain(({ pattern, method, operation }) => oneOperation(document, pattern, method, operation));
  const patterns = fc.constantFrom(...Object.keys(document.paths));
  const segment = fc.oneof(
    fc.constantFrom("agents", "security", "..", ".", "%2e%2e", "%00", "%E0%A4", "", "rpc", "x".repeat(300)),
    fc.string({ unit: "binary", maxLength: 30 }).map((part) => encodeURIComponent(part.toWellFormed())),
  );
  const stray = fc.record({
    method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"),
    pattern: fc.constant(undefined),
    path: fc.oneof(
      patterns,
      fc.array(segment, { maxLength: 4 }).map((parts) => `/api/${parts.join("/")}`),
    ),
    headers,
    body: fc.constant(undefined),
    token,
    agent,
  });
  return fc.oneof({ weight: 12, arbitrary: known }, { weight: 1, arbitrary: stray });
}

const token = fc.oneof(
  { weight: 20, arbitrary: fc.constant("owner" as const) },
  { weight: 3, arbitrary: fc.constant("other" as const) },
  {
    weight: 3,
    arbitrary: fc.constantFrom("none" as const, "forged" as const, "garbage" as const, "secret" as const),
  },
);

const agent = fc.oneof(
  { weight: 12, arbitrary: fc.constant("definition") },
  { weight: 1, arbitrary: fc.constant("deployed") },
  { weight: 2, arbitrary: fc.constant("foreign") },
  {
    weight: 3,
    arbitrary: fc.oneof(
      fc.constantFrom(
        "agent-none",
        "a".repeat(63),
        "a".repeat(64),
        "A",
        "-a",
        "%00",
        "%27%20or%201=1",
        "a%2Fb",
      ),
      fc
        .string({ unit: "binary", minLength: 1, maxLength: 30 })
        .map((id) => encodeURIComponent(id.toWellFormed())),
    ),
  },
);

/** Header values that HTTP can carry. */
const headerText = fc.stringMatching(/^[\x21-\x7e][\x20-\x7e]{0,40}$/, { size: "small" });
const headers: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  {
    weight: 2,
    arbitrary: fc.dictionary(
      fc.constantFrom(
        "x-request-id",
        "accept",
        "x-forwarded-for",
        "user-agent",
        "prefer",
        "accept-profile",
        "range",
        "cookie",
      ),
      headerText,
      { maxKeys: 3 },
    ),
  },
);

function oneOperation(
  document: Document,
  pattern: string,
  method: string,
  operation: Operation,
): fc.Arbitrary<GeneratedRequest> {
  const parameters = (operation.parameters ?? []).map((parameter) => resolve(document, parameter));
  const query = parameters.filter((parameter) => parameter.in === "query");
  const schema = operation.requestBody?.content["application/json"].schema;
  return fc.record({
    method: fc.constant(method),
    pattern: fc.constant(pattern),
    path: search(document, query).map((text) => pattern + text),
    headers: fc
      .tuple(headers, method === "POST" ? idempotency : fc.constant({}), contentType)
      .map(([some, key, type]) => ({ ...some, ...key, ...(schema === undefined ? {} : type) })),
    body: schema === undefined ? fc.constant(undefined) : body(document, schema),
    token,
    agent,
  });
}

const idempotency = fc.oneof(
  { weight: 8, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc
      .oneof(fc.uuid(), fc.constantFrom("a", "b", "x".repeat(256)), headerText)
      .map((key) => ({ "idempotency-key": key })),
  },
);

const contentType = fc.oneof(
  { weight: 20, arbitrary: fc.constant({ "content-type": "application/json" }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        "text/plain",
        "application/json; charset=utf-8",
        "application/xml",
        "multipart/form-data",
        "x",
      )
      .map((type) => ({ "content-type": type })),
  },
);

function body(document: Document, schema: Schema): fc.Arbitrary<string | Buffer | undefined> {
  const right = valid(document, schema);
  const asText = (value: unknown) => JSON.stringify(value) ?? "null";
  return fc.oneof(
    { weight: 4, arbitrary: right.map(asText) },
    { weight: 6, arbitrary: mutated(right).map(asText) },
    { weight: 1, arbitrary: junk.map(asText) },
    {
      weight: 1,
      arbitrary: fc.oneof(
        fc.tuple(right.map(asText), fc.nat()).map(([json, at]) => json.slice(0, at % (json.length + 1))),
        fc.constantFrom<string | Buffer | undefined>(
          undefined,
          "",
          "{",
          '{"agentName":"a","agentName":"b"}',
          '{"agentName":1e999}',
          `${"[".repeat(5000)}${"]".repeat(5000)}`,
          '\ufeff{"agentName":"bom"}',
          Buffer.from([0x7b, 0xff, 0xfe, 0x7d]),
        ),
      ),
    },
  );
}

function search(document: Document, parameters: Parameter[]): fc.Arbitrary<string> {
  const pairs = parameters.map(({ name, schema }) =>
    fc
      .oneof(
        { weight: 3, arbitrary: fc.constant([] as unknown[]) },
        { weight: 3, arbitrary: valid(document, schema).map((value) => [value]) },
        { weight: 2, arbitrary: junk.map((value) => [value]) },
        { weight: 1, arbitrary: fc.array(junk, { minLength: 2, maxLength: 2 }) },
      )
      .map((values) => values.map((value) => [name, textOf(value)] as const)),
  );
  const unknown = fc.oneof(
    { weight: 12, arbitrary: fc.constant([] as (readonly [string, string])[]) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom("x", "select", "or", "__proto__", "limit[]", ""), junk)
        .map(([name, value]) => [[name, textOf(value)] as const]),
    },
  );
  return fc.tuple(unknown, ...pairs).map((groups) => {
    const text = groups
      .flat()
      .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
      .join("&");
    return text === "" ? "" : `?${text}`;
  });
}

/** Kept below the 16 KiB that Node's HTTP server takes for a request's line and headers; it answers 431 by itself beyond. */
const textOf = (value: unknown): string =>
  (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).slice(0, 500).toWellFormed();
