/**
 * The edge function `upkeep`: the only file that knows Deno. The database calls it when files of deleted agents are due or
 * packages are to be looked up; it says yes at once and works on afterwards. What it needs is loaded with the first call:
 * most of the time it is idle.
 */
import { readSignedCall } from "../_shared/signed-call.ts";
import type { Upkeep } from "./upkeep.ts";

declare const Deno: {
  env: { toObject(): Record<string, string> };
  serve(handler: (request: Request) => Response | Promise<Response>): unknown;
};
declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined;

const log = (level: "INFO" | "WARN" | "ERROR", message: string, metadata: Record<string, unknown> = {}) => {
  console.log(
    JSON.stringify({ timestamp: new Date().toISOString(), level, message, source: "upkeep", metadata }),
  );
};

const load = async (): Promise<Upkeep> => {
  const [{ createUpkeep }, { createDatabase }, { readSettings }] = await Promise.all([
    import("./upkeep.ts"),
    import("./database.ts"),
    import("./settings.ts"),
  ]);
  const settings = readSettings(Deno.env.toObject());
  return createUpkeep(createDatabase(settings), settings.advisoryUrl, log);
};
let loaded: ReturnType<typeof load> | undefined;

Deno.serve(async (request) => {
  const call = await readSignedCall(request, Deno.env.toObject().LAUNCHPAD_RESPOND_SECRET);
  if ("refused" in call) return call.refused;
  loaded ??= load().catch((error: unknown) => {
    loaded = undefined; // the next call tries again
    log("ERROR", "The function cannot start", { cause: String(error) });
    throw error;
  });
  const work = loaded.then((upkeep) => upkeep.wake(new TextDecoder().decode(call.body)));
  if (typeof EdgeRuntime === "undefined") void work.catch((error: unknown) => log("ERROR", String(error)));
  else EdgeRuntime.waitUntil(work);
  return Response.json({ accepted: true }, { status: 202 });
});
