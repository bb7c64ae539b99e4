/** The app as the tests drive it: in this process, over the double of PostgREST. */
import { routes } from "../../api/routes/index.ts";
import { createApp } from "../app.ts";
import type { AccessEntry } from "../log.ts";
import { openApiText } from "../openapi.ts";
import { rpcClient } from "../postgrest.ts";
import { tokenFor, Upstream } from "./upstream.ts";

export const NOW = Date.parse("2026-01-15T13:45:00.000Z");

export function testApp() {
  const upstream = new Upstream();
  const entries: AccessEntry[] = [];
  const app = createApp({
    routes,
    rpc: rpcClient({ restUrl: "http://upstream/rest/v1", direct: false }, { fetch: upstream.fetch }),
    openapi: () => openApiText(routes),
    log: (entry) => entries.push(entry),
    now: () => NOW,
  });
  const signedIn = { authorization: `Bearer ${tokenFor()}`, apikey: "sb_publishable_client" };

  /** Sends a request as a signed-in user; `body` that is not text is sent as JSON. */
  const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    app.request(path, {
      method,
      headers: {
        ...signedIn,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  return { app, upstream, entries, signedIn, send };
}
