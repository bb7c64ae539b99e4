// Asks the database to wake an agent, and says what the answer means to those who wait.

import type { Database, WakeResult } from "../contract.ts";
import type { Caller, Shown } from "./caller.ts";
import type { Wake } from "./door.ts";

export interface WakeOptions {
  database: Pick<Database, "judgeToken" | "wakeDeployment">;
  /** The agent wakes: somebody must claim it, without waiting for the webhook. */
  claim(): unknown;
}

/** What the database is told of a caller; it judges keys and origins itself, a token is judged before. */
const CAUSES: Readonly<Record<Shown, string>> = {
  key: "key",
  origin: "preflight",
  token: "request",
  nothing: "anonymous",
};
/** Refusals of the caller, not of the agent. */
const OF_CALLER = new Set(["INVALID_API_KEY", "INSUFFICIENT_PERMISSIONS"]);

/** Wakes by the database, for {@link Door}. */
export function waker({ claim, database }: WakeOptions): (agentId: string, caller: Caller) => Promise<Wake> {
  return async (agentId, { proof, shows }) => {
    const refusal = shows === "token" ? await database.judgeToken(agentId, proof) : undefined;
    if (refusal !== undefined) return { state: "refused", ofCaller: true, ...refusal };
    const judgedThere = shows === "key" || shows === "origin";
    const result = await database.wakeDeployment(agentId, CAUSES[shows], judgedThere ? proof : undefined);
    if (result.state === "waking") claim();
    return wakeOf(result);
  };
}

/** How long a caller should wait after an answer that may change without a change of the agent. */
const RETRY_SECONDS: Readonly<Record<number, number>> = { 429: 60, 503: 60 };

function wakeOf(result: WakeResult): Wake {
  if (result.state !== "refused") return { state: result.state };
  // That it does not start is a state of the agent's, and no fault of this server's.
  const status = result.status >= 500 ? 503 : result.status;
  const retryAfterSeconds = retryAfterOf(result.details) ?? RETRY_SECONDS[status];
  return {
    state: "refused",
    status,
    code: result.code,
    message: result.message,
    ...(OF_CALLER.has(result.code) ? { ofCaller: true } : {}),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  };
}

function retryAfterOf(details: unknown): number | undefined {
  const seconds = (details as { retryAfterSeconds?: unknown } | null)?.retryAfterSeconds;
  return typeof seconds === "number" && seconds > 0 ? Math.ceil(seconds) : undefined;
}
