// Sends the steps of a runtime's answers to the project: in batches, behind the answer, which never waits for them. What cannot
// be sent is tried again a few times, then dropped and counted.
import { type Project, ProjectRefusal } from "../project.ts";
import type { Step, Trace } from "./steps.ts";

/** Steps of one answer go together, unless one takes long: then those before it are shown meanwhile. */
const FLUSH_MS = 200;
const RETRY_MS = 2_000;
const MAX_TRIES = 4;
/** Of all answers under way. */
const MAX_WAITING = 2_000;
/** As many as the database takes at once. */
const BATCH = 200;
const CLOSE_MS = 2_000;

export interface StepLog {
  /** Opens the trace of an answer. */
  open(messageId: string): { readonly trace: Trace; end(): void };
  /** Sends what waits, for at most two seconds. */
  close(): Promise<void>;
}

export interface StepLogOptions {
  readonly agentId: string;
  /** Without it steps are dropped. */
  readonly project: Project | undefined;
  readonly credential: string | undefined;
  warn(message: string, facts?: Record<string, unknown>): void;
}

interface Waiting {
  readonly messageId: string;
  steps: Step[];
  tries: number;
}

/** Makes the log of one runtime. */
export function createStepLog({ agentId, project, credential, warn }: StepLogOptions): StepLog {
  const waiting = new Map<string, Waiting>();
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;
  let count = 0;
  let dropped = 0;

  function schedule(afterMs: number): void {
    if (timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      flush();
    }, afterMs);
    timer.unref();
  }

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    sending ??= send().finally(() => {
      sending = undefined;
      if (waiting.size > 0) schedule(RETRY_MS);
    });
  }

  async function send(): Promise<void> {
    for (const entry of [...waiting.values()]) {
      waiting.delete(entry.messageId);
      const batch = entry.steps.slice(0, BATCH);
      try {
        await project?.call("add_answer_steps", {
          agent_id: agentId,
          credential,
          message_id: entry.messageId,
          steps: batch,
        });
        count -= entry.steps.length;
      } catch (error) {
        const isRefusal = error instanceof ProjectRefusal && error.status !== 429;
        if (isRefusal || entry.tries + 1 >= MAX_TRIES) {
          count -= entry.steps.length;
          dropped += entry.steps.length;
          warn("Steps of an answer could not be kept", {
            messageId: entry.messageId,
            dropped,
            cause: String(error),
          });
          continue;
        }
        const newer = waiting.get(entry.messageId);
        const steps = [...entry.steps, ...(newer?.steps ?? [])];
        waiting.set(entry.messageId, { messageId: entry.messageId, steps, tries: entry.tries + 1 });
      }
    }
  }

  return {
    open: (messageId) => ({
      trace(step) {
        if (project === undefined) return;
        if (count >= MAX_WAITING) {
          dropped += 1;
          return;
        }
        count += 1;
        const entry = waiting.get(messageId);
        if (entry === undefined) waiting.set(messageId, { messageId, steps: [step], tries: 0 });
        else entry.steps.push(step);
        schedule(FLUSH_MS);
      },
      end() {
        if (waiting.has(messageId)) setImmediate(flush);
      },
    }),
    async close() {
      const deadline = Date.now() + CLOSE_MS;
      while (waiting.size > 0 || sending !== undefined) {
        if (Date.now() >= deadline) return;
        const before = waiting.size;
        flush();
        await sending;
        if (waiting.size >= before && before > 0) return; // the project is down
      }
    },
  };
}
