/**
 * The edge function `respond`: the only file that knows Deno. The database calls it when messages wait for answers; it says
 * yes at once and works on afterwards. What it needs for that is loaded with the first call, so that an idle one stays small.
 */
import { isGenuine } from "../../../packages/agent-runtime/src/signature.ts";
import { readBytes } from "../_shared/body.ts";
import { readSettings } from "./settings.ts";
import type { Log, Worker } from "./worker.ts";

declare const Deno: {
  env: { toObject(): Record<string, string> };
  serve(handler: (request: Request) => Response | Promise<Response>): unknown;
};
declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined;

const MAX_BODY_BYTES = 64 * 1024;
const settings = readSettings(Deno.env.toObject());
const worker = crypto.randomUUID();

const log: Log = (level, message, facts = {}) => {
  console.log(
    JSON.stringify({
      timestamp: new Date().toISOString(),
      level,
      message,
      source: "respond",
      metadata: facts,
    }),
  );
};

let loaded: Promise<Worker> | undefined;
const load = async () => {
  const [{ Worker }, { createDatabase }] = await Promise.all([
    import("./worker.ts"),
    import("./database.ts"),
  ]);
  return new Worker(settings, createDatabase(settings, `respond-${worker}`), log);
};

const refuse = (status: number, code: string, message: string) =>
  Response.json({ error: { code, message } }, { status });

Deno.serve(async (request) => {
  if (request.method !== "POST") return refuse(405, "METHOD_NOT_ALLOWED", "This takes POST.");
  if (settings.respondSecret === undefined) {
    return refuse(503, "INTERNAL_ERROR", "LAUNCHPAD_RESPOND_SECRET is not set.");
  }
  const body = await readBytes(request, MAX_BODY_BYTES);
  if (body === undefined) return refuse(413, "PAYLOAD_TOO_LARGE", "The body is too large.");
  if (!isGenuine(settings.respondSecret, request.headers, body, Date.now())) {
    return refuse(401, "INVALID_JWT_TOKEN", "The signature is missing or wrong.");
  }
  loaded ??= load().catch((error: unknown) => {
    loaded = undefined; // the next call tries again
    throw error;
  });
  const work = loaded.then((ready) => ready.wake());
  if (typeof EdgeRuntime === "undefined") void work.catch((error: unknown) => log("ERROR", String(error)));
  else EdgeRuntime.waitUntil(work);
  return Response.json({ accepted: true }, { status: 202 });
});
