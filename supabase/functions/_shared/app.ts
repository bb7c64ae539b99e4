/** The app: routes from the table, one upstream call per request, and the same headers on every answer. */
import { type Context, Hono } from "hono";
import { type ErrorCode, errorCodes } from "./contract/index.ts";
import { defect, envelopeOf, type Failure, failureOf, keyless, unreachable } from "./failure.ts";
import { preflightHeaders, requestIdOf, responseHeaders } from "./headers.ts";
import { type Log, loggedId, loggedPath } from "./log.ts";
import type { AnswerHeaders, Rpc, RpcAnswer, RpcCall } from "./postgrest.ts";
import { prepare, type Refusal, refusalCall } from "./prepare.ts";
import { safeText } from "./problems.ts";
import { honoPath, offered, type Route } from "./route.ts";
import { subjectOf } from "./token.ts";

export interface AppOptions {
  readonly routes: readonly Route[];
  readonly rpc: Rpc;
  /** The OpenAPI document as JSON text; asked for once, when first wanted. */
  readonly openapi: () => string;
  readonly log: Log;
  readonly now?: () => number;
}

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

type Variables = { requestId: string; code?: ErrorCode; userId?: string | null; defect?: string };
type Ctx = Context<{ Variables: Variables }>;

/**
 * Makes the function's app. It needs nothing of Deno, so that it runs in any runtime with `fetch`.
 * @param options its parts
 */
export function createApp({
  routes,
  rpc,
  openapi,
  log,
  now = Date.now,
}: AppOptions): Hono<{ Variables: Variables }> {
  const app = new Hono<{ Variables: Variables }>({ strict: false });
  let document: string | undefined;
  const words = new Set(["", "api", "openapi.json", ...routes.flatMap(({ path }) => path.split("/"))]);

  const answerFailure = (
    c: Ctx,
    failure: Failure,
    upstream?: AnswerHeaders,
    extra: Record<string, string> = {},
  ) => {
    const { code, verified } = failure;
    const requestId = c.get("requestId");
    const subject = verified ? subjectOf(c.req.header("authorization") ?? null) : null;
    const envelope = envelopeOf(failure, requestId, subject, now());
    const headers = { ...responseHeaders(requestId, upstream, now()), ...extra };
    c.set("code", code);
    c.set("userId", subject);
    if (code === "INVALID_JWT_TOKEN") headers["www-authenticate"] = "Bearer";
    return new Response(JSON.stringify(envelope), { status: errorCodes[code].status, headers });
  };

  /** Makes the request's one call and turns its answer into ours. */
  const relay = async (c: Ctx, call: RpcCall, refusal?: Refusal): Promise<Response> => {
    const client = c.req.raw.headers;
    const apikey = client.get("apikey") ?? c.req.query("apikey") ?? null;
    // Supabase's gateway would refuse the call too; here PostgREST may stand directly behind.
    if (apikey === null) return answerFailure(c, keyless);
    let upstream: RpcAnswer;
    try {
      upstream = await rpc({
        ...call,
        requestId: c.get("requestId"),
        client,
        apikey,
        idempotencyKey:
          c.req.method === "POST" && refusal === undefined ? client.get("idempotency-key") : null,
      });
    } catch {
      return answerFailure(c, unreachable);
    }
    const { ok, status, body } = upstream;
    if (ok && refusal === undefined && (body.length > 0 || status === 204)) {
      return new Response(status === 204 ? null : body, {
        status,
        headers: responseHeaders(c.get("requestId"), upstream.headers, now()),
      });
    }
    const subject = subjectOf(client.get("authorization"));
    const isolation = upstream.headers.get("x-user-isolation");
    const failure = ok
      ? { ...defect, ...refusal, verified: true }
      : failureOf(status, new TextDecoder().decode(body), isolation ?? null, subject);
    const extra = failure.code === refusal?.code ? refusal.headers : undefined;
    return answerFailure(c, failure, upstream.headers, extra);
  };

  const refuse = (c: Ctx, refusal: Refusal) => relay(c, refusalCall(refusal), refusal);

  app.use(async (c, next) => {
    const started = performance.now();
    c.set("requestId", requestIdOf(c.req.header("x-request-id") ?? null));
    await next();
    log({
      requestId: await loggedId(c.get("requestId")),
      method: METHODS.has(c.req.method) ? c.req.method : "…",
      path: loggedPath(c.req.path, words),
      status: c.res.status,
      ...(c.get("code") === undefined ? {} : { code: c.get("code")!, userId: c.get("userId") ?? null }),
      ...(c.get("defect") === undefined ? {} : { defect: c.get("defect")! }),
      durationMs: Math.round((performance.now() - started) * 10) / 10,
    });
  });

  const preflight = (c: Ctx, methods: readonly string[]) => {
    const headers = responseHeaders(c.get("requestId"), undefined, now());
    return new Response(null, { status: 204, headers: { ...headers, ...preflightHeaders(methods) } });
  };

  const api = app.basePath("/api");
  api.get("/openapi.json", (c) => {
    document ??= openapi();
    const headers = responseHeaders(c.get("requestId"), undefined, now());
    return new Response(document, { headers: { ...headers, "cache-control": "public, max-age=300" } });
  });
  for (const [path, methods] of offered(routes)) {
    for (const route of routes.filter((candidate) => candidate.path === path)) {
      api.on(route.method, honoPath(path), async (c) => {
        const prepared = await prepare(route, c.req.raw, c.req.param());
        return "call" in prepared ? relay(c, prepared.call) : refuse(c, prepared.refusal);
      });
    }
    api.all(honoPath(path), (c) => {
      if (c.req.method === "OPTIONS") return preflight(c, methods);
      const allow = methods.join(", ");
      const message = `${safeText(c.req.method, 20)} is not offered here; the path offers ${allow}`;
      return refuse(c, { code: "METHOD_NOT_ALLOWED", message, headers: { allow } });
    });
  }
  app.notFound((c) => {
    if (c.req.method === "OPTIONS") return preflight(c, ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);
    return refuse(c, { code: "NOT_FOUND", message: `No such path: ${safeText(c.req.path, 100)}` });
  });
  app.onError((error, c) => {
    c.set("defect", error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    return answerFailure(c, defect);
  });
  return app;
}
