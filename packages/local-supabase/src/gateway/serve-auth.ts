/** The door of Auth: each request is read once (auth-request.ts); a guard judges, and Auth gets, what was read. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { readAuthRequest } from "./auth-request.ts";
import { authorizeByPost } from "./authorize.ts";
import type { Arrivals } from "./bodies/arrival.ts";
import { BODY_LIMITS } from "./bodies/limits.ts";
import { withBody } from "./bodies/serve.ts";
import type { AuthGuard } from "./extension.ts";
import { type FetchHandler, fetchRequest, type Handed, reply } from "./in-process.ts";
import { refuse } from "./replies.ts";
import type { Route } from "./routes.ts";
import { bearerOf } from "./well-formed.ts";

export interface AuthDoorOptions {
  arrivals: Arrivals;
  guard?: AuthGuard | undefined;
}

export function createAuthDoor({ arrivals, guard }: AuthDoorOptions) {
  /** Serves one request whose key has been judged. */
  return async (
    request: IncomingMessage,
    response: ServerResponse,
    {
      route,
      handler,
      handed,
    }: { route: Extract<Route, { needsKey: boolean }>; handler: FetchHandler; handed: Handed },
  ): Promise<void> => {
    const method = request.method ?? "GET";
    await withBody(request, response, { route, limit: BODY_LIMITS.auth, arrivals }, async (bytes) => {
      const asked = readAuthRequest(method, route.path, request.headers["content-type"], bytes);
      if ("cure" in asked) return refuse(request, response, route, asked);
      const { origin } = handed;
      if (method === "POST" && asked.action === "authorize")
        return await authorizeByPost(response, handler, { origin, fields: asked.fields ?? {} });
      const call = { method, asked, token: bearerOf(handed.authorization) };
      const made = { ...handed, body: asked.body ?? null };
      const serve = () => handler(fetchRequest(request, made).made);
      if (!guard) return await reply(response, await serve());
      const unavailable = () => refuse(request, response, route, "unavailable");
      await guard(request, response, { call, serve, unavailable });
    });
  };
}
