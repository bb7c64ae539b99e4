/** Waiting for a status: by asking `/rest/v1`, which costs nothing of the caller's limit and leaves no connection behind. */
import type { Agents } from "./agents.ts";
import type { AgentStatus, AgentStatusReport } from "./contract.ts";
import { AgentLaunchpadError } from "./errors.ts";
import type { AgentUpdate, Watching } from "./watching.ts";

export interface WaitOptions {
  /** Milliseconds until it gives up with TIMEOUT. Default 300000; 0: never. */
  timeout?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called with each status, event and interruption on the way. */
  onProgress?: ((update: AgentUpdate) => void) | undefined;
  /** Events after this `seq` count and are told too: 0 for an agent just created. Default: events from now on. */
  after?: number | undefined;
}

const DEFAULT_TIMEOUT = 300_000;

/** The statuses that say that a deployment came to nothing, for someone who waits for something else. */
type Outcome = "reached" | "failed" | "gone" | undefined;

/**
 * What a status means to someone who waits. Pure.
 * @param status the one shown
 * @param wanted those waited for
 */
export function outcomeOf(status: string | null, wanted: readonly AgentStatus[]): Outcome {
  if (wanted.includes(status as AgentStatus)) return "reached";
  if (status === "FAILED") return "failed";
  return status === "DELETED" || (status === "DELETING" && !wanted.includes("DELETED")) ? "gone" : undefined;
}

/** See `Agents.waitUntil`. */
export async function waitUntil(
  agents: Agents,
  watching: Watching,
  agentId: string,
  wanted: readonly AgentStatus[],
  { timeout = DEFAULT_TIMEOUT, signal, onProgress, after }: WaitOptions,
): Promise<AgentStatusReport | null> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = deferred<{
    status: string;
    outcome: Outcome;
    at?: string | undefined;
  }>();
  let shown: string | null = null;
  const judge = (status: string | null, at?: string) => {
    const outcome = outcomeOf(status, wanted);
    if (outcome !== undefined && status !== null) resolve({ status, outcome, at });
  };
  const take = (update: AgentUpdate) => {
    onProgress?.(update);
    // The status is read before the events that led to it: they are told first.
    if (update.type === "status" && update.status !== "DELETED") shown = update.status;
    else if (update.type === "status") judge(update.status);
    // A phase that came and went between two looks at the status is in the history.
    else if (update.type === "event") judge(update.event.to_phase, update.event.timestamp);
    else if (update.type === "error" && isFinal(update)) reject(update.error);
  };
  const abort = () => reject(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const timer =
    timeout > 0 ? setTimeout(() => reject(tooLong(agentId, wanted, timeout)), timeout) : undefined;
  const unsubscribe = watching.agent(agentId, take, {
    include: ["status", "event"],
    asking: true,
    after,
    onCaughtUp: () => judge(shown),
  });
  try {
    const { status, outcome, at } = await promise;
    if (outcome === "gone") throw gone(agentId, wanted);
    if (status === "DELETED") return null;
    const report = await agents.getStatus(agentId, { signal });
    // The history may be ahead of the status that was read before it; what it knows of is told with its own time.
    if (at !== undefined && report.status === status && status !== shown) {
      onProgress?.({ type: "status", agentId, status: report.status, timestamp: at });
    }
    if (outcome === "failed") throw failed(report);
    return report;
  } finally {
    unsubscribe();
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** Nobody signs in while a program waits for an answer. */
const isFinal = ({ final, error }: AgentUpdate & { type: "error" }) =>
  final || error.code === "INVALID_JWT_TOKEN";

const namesOf = (wanted: readonly string[]) => wanted.join(" or ");

const gone = (agentId: string, wanted: readonly string[]) =>
  new AgentLaunchpadError({
    code: "AGENT_NOT_FOUND",
    message: `Agent '${agentId}' was deleted before it was ${namesOf(wanted)}`,
    status: 404,
  });

const failed = ({ agentId, reason, message }: AgentStatusReport) =>
  new AgentLaunchpadError({
    code: "DEPLOYMENT_FAILED",
    message: message ?? `The deployment of agent '${agentId}' failed`,
    status: 500,
    details: { agentId, reason },
  });

const tooLong = (agentId: string, wanted: readonly string[], timeout: number) =>
  new AgentLaunchpadError({
    code: "TIMEOUT",
    message: `Agent '${agentId}' was not ${namesOf(wanted)} within ${timeout / 1000} s`,
  });

/** Promise.withResolvers, which Node 20 lacks. */
export function deferred<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
}
