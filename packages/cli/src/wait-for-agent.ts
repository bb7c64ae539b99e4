// Waits until an agent settles and prints its progress.

import type { AgentStatusReport, KnownAgentStatus } from "@agent-launchpad/sdk";
import type { Context } from "./context.ts";
import { CliError, codeOf } from "./errors.ts";
import type { Outcome } from "./exit-codes.ts";
import { tone } from "./output/style.ts";
import { oneLine } from "./output/text.ts";

export interface WaitOptions {
  wait?: boolean;
  /** Seconds. */
  timeout?: number;
}

type Wanted = Exclude<KnownAgentStatus, "DELETED">;

/** What a change of a running agent settles in; a stopped one keeps the change for its next start. */
export const SETTLED: readonly Wanted[] = ["DEPLOYED", "ASLEEP", "STOPPED"];

/** What nothing more follows from on its own. */
export const AT_REST: readonly Wanted[] = [
  "DEPLOYED",
  "ASLEEP",
  "STOPPED",
  "IDLE",
  "THINKING",
  "RESPONDING",
  "ERROR",
];

/** How often a deployment that says nothing is asked why. Twelve times cheaper than the rate limit allows. */
const ASK_MS = 15_000;

/**
 * Waits for an agent, telling each event and each new reason on stderr as it comes.
 * @param after the `seq` of the last event that is not told; 0 for a new agent. Left out: events from now on
 * @returns how it ended: `ok`, or `failed`, with the last report
 * @throws CliError when it takes too long; the SDK's errors
 */
export async function settle(
  context: Context,
  agentId: string,
  wanted: readonly Wanted[],
  options: WaitOptions,
  after?: number,
): Promise<{ outcome: Outcome; report: AgentStatusReport }> {
  const { client } = await context.session();
  const telling = tell(context);
  const asking = setInterval(() => {
    client.agents.getStatus(agentId, { signal: context.signal }).then(telling.reason, () => {});
  }, ASK_MS);
  try {
    const report = await client.agents.waitUntil(agentId, wanted, {
      signal: context.signal,
      timeout: (options.timeout ?? 300) * 1000,
      after,
      onProgress(update) {
        if (update.type === "event") telling.event(update.event.to_phase, update.event.message);
        else if (update.type === "status") telling.status(update.status);
        else if (update.type === "error")
          context.out.progress(`connecting again: ${oneLine(update.error.message)}`);
      },
    });
    return { outcome: "ok", report };
  } catch (error) {
    if (codeOf(error) === "DEPLOYMENT_FAILED")
      return { outcome: "failed", report: await client.agents.getStatus(agentId) };
    if (codeOf(error) !== "TIMEOUT") throw error;
    const report = await client.agents.getStatus(agentId);
    if (wanted.some((status) => status === report.status)) return { outcome: "ok", report }; // in the last moment
    throw tooLong(report, options);
  } finally {
    clearInterval(asking);
    context.out.endProgress();
  }
}

/** Tells what happens, each thing once. */
function tell({ out }: Context) {
  let last = "";
  const line = (status: string, text: string) => {
    const told = `${status} ${text}`;
    if (told === last) return;
    last = told;
    const plainChange = / → /.test(text); // "QUEUED → DEPLOYING" says it all
    const parts = [plainChange || status === "" ? "" : tone(out.errPaint, status), oneLine(text)];
    out.note(parts.filter(Boolean).join("  "));
  };
  return {
    event: (phase: string | null, message: string) => line(phase ?? "", message),
    status: (status: string) => out.progress(`${status} …`),
    reason: ({ status, reason, message }: AgentStatusReport) => {
      if (reason ?? message) line(status, [reason, message].filter(Boolean).join(": "));
    },
  };
}

function tooLong({ agentId, status, message }: AgentStatusReport, { timeout }: WaitOptions): CliError {
  const why = message ? ` (${oneLine(message).replace(/\.$/, "")})` : "";
  return new CliError(
    "unreachable",
    `${agentId} is still ${status}${why} after ${timeout ?? 300} s; \`launchpad status ${agentId} --watch\` goes on waiting.`,
    { code: "TIMEOUT" },
  );
}
