// Requests generated from an OpenAPI document: to its operations and around them, by every kind of caller.
import fc from "fast-check";
import { junk, mutated, resolve, type Schema, valid } from "./schema-values.ts";

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

/** Requests to a document's operations, and around them. */
export function requests(document: Document): fc.Arbitrary<GeneratedRequest> {
  const operations = Object.entries(document.paths).flatMap(([pattern, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      pattern,
      method: method.toUpperCase(),
      operation,
    })),
  );
  // Built once each: a text that matches a pattern takes milliseconds to describe, and microseconds to generate.
  const built = new Map<Operation, fc.Arbitrary<GeneratedRequest>>();
  const known = fc.constantFrom(...operations).chain(({ pattern, method, operation }) => {
    const arbitrary = built.get(operation) ?? oneOperation(document, pattern, method, operation);
    built.set(operation, arbitrary);
    return arbitrary;
  });
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

/** Kept below the 16 KiB that Node's HTTP server takes for a request's line and headers; it answers 431 on its own beyond. */
const textOf = (value: unknown): string =>
  (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).slice(0, 500).toWellFormed();
