/**
 * The edge function `respond`: the only file that knows Deno. The database calls it when messages wait for answers; it says
 * yes at once and works on afterwards. What it needs for that is loaded with the first call, so that an idle one stays small.
 */
import { readSignedCall } from "../_shared/signed-call.ts";
import { readSettings } from "./settings.ts";
import type { Log, Worker } from "./worker.ts";

declare const Deno: {
  env: { toObject(): Record<string, string> };
  serve(handler: (request: Request) => Response | Promise<Response>): unknown;
};
declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined;

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

Deno.serve(async (request) => {
  const call = await readSignedCall(request, settings.respondSecret);
  if ("refused" in call) return call.refused;
  loaded ??= load().catch((error: unknown) => {
    loaded = undefined; // the next call tries again
    throw error;
  });
  const work = loaded.then((ready) => ready.wake());
  if (typeof EdgeRuntime === "undefined") void work.catch((error: unknown) => log("ERROR", String(error)));
  else EdgeRuntime.waitUntil(work);
  return Response.json({ accepted: true }, { status: 202 });
});
