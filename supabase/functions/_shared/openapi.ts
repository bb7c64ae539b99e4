/** The OpenAPI 3.1 document, made from the contract and the route table. */
import { z } from "zod";
import { type ErrorCode, errorCodes, VERSION } from "./contract/index.ts";
import { documentedHeaders } from "./headers.ts";
import { RELEASE } from "./release.ts";
import type { Route } from "./route.ts";

type Json = string | number | boolean | null | Json[] | { [key: string]: Json | undefined };
type Schemas = Record<string, Json>;

const reference = (kind: string, name: string) => `#/components/${kind}/${name}`;

/** What any request may meet. */
const everywhere: readonly ErrorCode[] = [
  "VALIDATION_ERROR",
  "INVALID_JWT_TOKEN",
  "INSUFFICIENT_PERMISSIONS",
  "RATE_LIMIT_EXCEEDED",
  "INTERNAL_ERROR",
  "SUPABASE_CONNECTION_ERROR",
];

/**
 * The document as JSON text.
 * @param routes the route table
 */
export const openApiText = (routes: readonly Route[]): string =>
  `${JSON.stringify(openApi(routes), null, 2)}\n`;

/**
 * The document.
 * @param routes the route table
 * @returns an OpenAPI 3.1 object
 */
export function openApi(routes: readonly Route[]): { [key: string]: Json } {
  const named = namedSchemas();
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = `/api${route.path}`;
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operation(route, named);
  }
  paths["/api/openapi.json"] = { get: ownDocument };
  return {
    openapi: "3.1.1",
    info: {
      title: "Agent Launchpad API",
      version: VERSION,
      "x-release": RELEASE,
      summary: "Turns a character, a few secrets and a size into a running, watched, scalable AI agent.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [
      { url: "/", description: "The embedded stack, or a host of your own" },
      { url: "/functions/v1", description: "A Supabase project" },
    ],
    security: [{ userToken: [], projectKey: [] }],
    tags: [
      { name: "Agents", description: "Launch, read, change and delete agents." },
      { name: "Keys", description: "Keys that call an agent at its own address." },
      { name: "Lifecycle", description: "Deploy, scale, restart, stop, start, roll back." },
      { name: "Monitoring", description: "Figures and log lines." },
      { name: "System", description: "Health, and the figures of the fleet." },
      { name: "Usage", description: "Answers, tokens and cost; budgets." },
      { name: "Users", description: "The caller's account: profile, export, deletion." },
      { name: "Security", description: "Security events and scans." },
      { name: "Meta", description: "This document." },
    ],
    paths,
    components: {
      schemas: named,
      responses: errorResponses(),
      parameters: {
        AgentId: {
          name: "agentId",
          in: "path",
          required: true,
          schema: { $ref: reference("schemas", "AgentId") },
        },
        IdempotencyKey: {
          name: "Idempotency-Key",
          in: "header",
          description: "A repeated POST with the same key answers what the first one answered.",
          schema: { type: "string", pattern: "^[\\x21-\\x7e]{1,255}$" },
        },
      },
      headers: Object.fromEntries(
        Object.entries(documentedHeaders).map(([name, description]) => [
          name,
          { description, schema: { type: "string" } },
        ]),
      ),
      securitySchemes: {
        userToken: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description:
            "A Supabase user's access token: `access_token` of a sign-in (`POST /auth/v1/token?grant_type=password`).",
        },
        projectKey: {
          type: "apiKey",
          in: "header",
          name: "apikey",
          description: "The project's publishable key; `npm start` prints it.",
        },
      },
    },
  };
}

const ownDocument: Json = {
  operationId: "getOpenApi",
  tags: ["Meta"],
  summary: "This document",
  security: [],
  responses: {
    "200": { description: "OpenAPI 3.1.", content: { "application/json": { schema: { type: "object" } } } },
    // A query that several programs could read in several ways is refused before any route is chosen.
    "400": { $ref: reference("responses", "Error400") },
  },
};

function operation(route: Route, named: Schemas): Json {
  const { operationId, tag, summary, description, method, body, success } = route;
  const parameters: Json[] = [];
  if (route.path.includes("{agentId}")) parameters.push({ $ref: reference("parameters", "AgentId") });
  for (const [, name] of route.path.matchAll(/\{(\w+)\}/g)) {
    if (name !== "agentId") parameters.push({ name, in: "path", required: true, schema: { type: "string" } });
  }
  if (method === "POST") parameters.push({ $ref: reference("parameters", "IdempotencyKey") });
  parameters.push(...queryParameters(route.query));
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: body.required,
            content: jsonContent(schemaOf(body.schema, named), body.example as Json | undefined),
          },
        }),
    responses: {
      [success.status]: {
        description: success.description,
        headers: responseHeaderRefs,
        ...(success.schema === undefined ? {} : { content: jsonContent(schemaOf(success.schema, named)) }),
      },
      ...failures(route),
    },
  };
}

const jsonContent = (schema: Json, example?: Json): Json => ({
  "application/json": { schema, ...(example === undefined ? {} : { example }) },
});

const responseHeaderRefs: Json = Object.fromEntries(
  Object.keys(documentedHeaders).map((name) => [name, { $ref: reference("headers", name) }]),
);

function failures({ errors, body }: Route): Record<string, Json> {
  const withBody: ErrorCode[] = body === undefined ? [] : ["PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"];
  const idempotent: ErrorCode[] = body === undefined ? [] : ["IDEMPOTENCY_CONFLICT"];
  const statuses = new Set(
    [...everywhere, ...withBody, ...idempotent, ...errors].map((code) => errorCodes[code].status),
  );
  return Object.fromEntries(
    [...statuses]
      .sort((a, b) => a - b)
      .map((status) => [status, { $ref: reference("responses", `Error${status}`) }]),
  );
}

/** One response per status, telling its codes. */
function errorResponses(): Json {
  const byStatus = new Map<number, string[]>();
  for (const [code, { status, description }] of Object.entries(errorCodes)) {
    byStatus.set(status, [...(byStatus.get(status) ?? []), `\`${code}\`: ${description}`]);
  }
  const one = (lines: string[]): Json => ({
    description: lines.join("\n\n"),
    headers: responseHeaderRefs,
    content: jsonContent({ $ref: reference("schemas", "ErrorEnvelope") }),
  });
  return Object.fromEntries(
    [...byStatus].sort(([a], [b]) => a - b).map(([status, lines]) => [`Error${status}`, one(lines)]),
  );
}

function queryParameters(schema: z.ZodObject): Json[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: "input" });
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...rest } = property as Record<string, Json>;
    return {
      name,
      in: "query",
      required: required.includes(name),
      ...(description ? { description } : {}),
      schema: rest,
    };
  });
}

/** Every schema of the contract that has an id, as OpenAPI's components. */
function namedSchemas(): Schemas {
  const { schemas } = z.toJSONSchema(z.globalRegistry, {
    io: "input",
    uri: (id) => reference("schemas", id),
  });
  const tidy = Object.entries(schemas).map(
    ([id, { $schema, $id, id: _id, ...schema }]) => [id, schema] as const,
  );
  return Object.fromEntries(tidy.sort(([a], [b]) => (a < b ? -1 : 1))) as Schemas;
}

function schemaOf(schema: z.ZodType, named: Schemas): Json {
  const id = z.globalRegistry.get(schema)?.id;
  if (id === undefined || !(id in named)) throw new Error("a route's schema needs an id: .meta({ id })");
  return { $ref: reference("schemas", id) };
}
