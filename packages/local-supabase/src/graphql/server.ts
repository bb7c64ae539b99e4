// Serves GraphQL at /graphql/v1.

import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { z } from "zod";
import { refusedBy } from "../gateway/refusals.ts";
import type { JwtKeys } from "../jwt-keys.ts";
import { verifyToken } from "../realtime/claims.ts";
import type { Answered, Engine } from "./engine.ts";
import { failure } from "./failure.ts";

export interface GraphqlOptions {
  /** A connection as authenticator, who may become the role of a token and nothing else. */
  url: string;
  jwtKeys: JwtKeys;
}

export interface Graphql {
  /** Serves /graphql/v1; the request carries a token of the caller or of the key's role. */
  handler: (request: Request) => Promise<Response>;
  stop(): Promise<void>;
}

const MOST_BODY = 1024 * 1024;
const MOST_DROPPED = 8 * MOST_BODY;

const Body = z.object({
  query: z.string(),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().nullish(),
});

/** Prepares the endpoint. Nothing is connected and no library loaded before the first request. */
export function startGraphql({ url, jwtKeys }: GraphqlOptions): Graphql {
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    application_name: "graphql",
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: 5000,
    allowExitOnIdle: true,
  });
  pool.on("error", () => undefined); // an idle connection ended with the server; the next request opens another
  pool.on("connect", (client) => client.on("error", () => undefined)); // the query under way reports it
  let engine: Promise<Engine> | undefined;
  const load = async () => new (await import("./engine.ts")).Engine(pool);

  return {
    async handler(request) {
      const token = (request.headers.get("authorization") ?? "").replace(/^bearer\s+/i, "");
      const identity = verifyToken(token, jwtKeys, Date.now());
      if ("problem" in identity) return refuse(401, "INVALID_JWT_TOKEN", identity.problem.message);
      const asked = await read(request);
      if (asked instanceof Response) return asked;
      engine ??= load();
      const caller = { identity, headers: Object.fromEntries(request.headers) };
      const answered = await (await engine).answer(caller, {
        query: asked.query,
        variables: asked.variables ?? undefined,
        operationName: asked.operationName ?? undefined,
        mayChange: request.method === "POST",
      });
      return answered.refusal ? refusedBy(json(answered), answered.refusal) : json(answered);
    },
    // Ending waits for open queries; a stop does not wait for one that hangs.
    stop: async () => await Promise.race([pool.end(), sleep(1000, undefined, { ref: false })]),
  };
}

/** What is asked, or the answer to a request that cannot be read. */
async function read(request: Request): Promise<z.infer<typeof Body> | Response> {
  if (request.method !== "GET" && request.method !== "HEAD" && request.method !== "POST") {
    return refuse(405, "METHOD_NOT_ALLOWED", "GraphQL takes GET and POST", { allow: "GET, HEAD, POST" });
  }
  let value: unknown;
  try {
    if (request.method === "POST") {
      const text = await bodyOf(request);
      if (text === undefined)
        return refuse(413, "PAYLOAD_TOO_LARGE", `The body must be at most ${MOST_BODY} bytes`);
      value = JSON.parse(text);
    } else {
      const given = new URL(request.url).searchParams;
      const variables = given.get("variables");
      value = {
        query: given.get("query"),
        variables: variables === null ? null : JSON.parse(variables),
        operationName: given.get("operationName"),
      };
    }
  } catch {
    return refuse(400, "VALIDATION_ERROR", "The request must be JSON");
  }
  const body = Body.safeParse(value);
  if (body.success) return body.data;
  return refuse(
    400,
    "VALIDATION_ERROR",
    "The request must be an object with `query`, and may have `variables` and `operationName`",
  );
}

/** What is too much is read on for a while and dropped: a client that still sends would not see the answer. */
async function bodyOf(request: Request): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > MOST_DROPPED) break;
    if (size <= MOST_BODY) chunks.push(chunk);
  }
  if (size > MOST_BODY) return undefined;
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
}

function refuse(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Response {
  return json({ status, headers, body: { errors: [failure(status, code, message).error] } });
}

function json({ status, headers, body }: Answered): Response {
  return Response.json(body, { status, headers });
}
