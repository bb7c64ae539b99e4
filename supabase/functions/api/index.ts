/** The edge function `api`: the only file that knows Deno. */
import { createApp } from "../_shared/app.ts";
import type { Connection } from "../_shared/connections.ts";
import { readConfig } from "../_shared/env.ts";
import { consoleLog } from "../_shared/log.ts";
import { openApiText } from "../_shared/openapi.ts";
import { rpcClient } from "../_shared/postgrest.ts";
import { routes } from "./routes/index.ts";

declare const Deno: {
  env: { toObject(): Record<string, string> };
  connect(to: { hostname: string; port: number }): Promise<Connection>;
  serve(handler: (request: Request) => Response | Promise<Response>): unknown;
};

const app = createApp({
  routes,
  rpc: rpcClient(readConfig(Deno.env.toObject()), { fetch, connect: Deno.connect }),
  openapi: () => openApiText(routes),
  log: consoleLog,
});

Deno.serve((request) => app.fetch(request));
