// What a runtime reports to the project after its answers: what calls used, and the steps of answers. It goes with the next reserve, or
// in a separate call where none follows soon. What could not be sent is sent again.
import type { AnswerSteps, StepSource } from "./abilities/step-log.ts";
import type { Credential } from "./credential.ts";
import type { Settlement } from "./meter.ts";
import { type Project, ProjectRefusal } from "./project.ts";

const FLUSH_MS = 25;
const CLOSE_MS = 3_000;
/** As many settlements as the database accepts at once. */
const BATCH = 100;

/** What one call carries. */
export interface Taken {
  readonly items: Settlement[];
  readonly answers: readonly AnswerSteps[];
  /** The project has it. */
  kept(): void;
  /** It could not be sent. */
  putBack(): void;
  /** The database refuses to keep the steps. */
  drop(cause: string): void;
}

export interface Outbox {
  /** Queues a settlement, one per reservation. */
  tell(item: Settlement): void;
  /** What a call carries: settlements, and steps where no answer waits for it. Either may be sent twice. */
  take(withSteps: boolean): Taken;
  /** Sends what waits, for at most some seconds. */
  close(): Promise<void>;
}

export interface OutboxOptions {
  readonly agentId: string;
  readonly credential: Credential | undefined;
  /** Without it nothing is sent. */
  readonly project: Pick<Project, "call"> | undefined;
  /** How long the database still wants to know of a call. */
  readonly keepMs: number;
  readonly steps: StepSource | undefined;
  /** How long a settlement, or the steps of an answer that is over, wait for a reserve that carries them. */
  readonly flushMs?: number | undefined;
  warn(message: string, facts?: Record<string, unknown>): void;
}

/** Makes the outbox of one runtime (or, in `respond`, of one answer). */
export function createOutbox({
  agentId,
  credential,
  project,
  keepMs,
  steps,
  flushMs = FLUSH_MS,
  warn,
}: OutboxOptions): Outbox {
  const waiting = new Map<string, { item: Settlement; until: number }>();
  let flushing: { timer: NodeJS.Timeout; at: number } | undefined;
  let sending: Promise<void> = Promise.resolve();
  let backoffMs = flushMs;
  const left = () => waiting.size + (steps?.size ?? 0);

  /** Sends what waits within so many milliseconds, or sooner; after a failure not before its time. */
  function schedule(withinMs = flushMs): void {
    if (project === undefined || left() === 0) return;
    const wait = Math.max(withinMs, backoffMs);
    const at = performance.now() + wait;
    if (flushing !== undefined && flushing.at <= at) return;
    clearTimeout(flushing?.timer);
    const timer = setTimeout(() => void flush(), wait);
    timer.unref();
    flushing = { timer, at };
  }

  function take(withSteps: boolean): Taken {
    const now = Date.now();
    const taken = [...waiting.values()].slice(0, BATCH);
    for (const { item } of taken) waiting.delete(item.id);
    const traced = withSteps ? steps?.take() : undefined;
    return {
      items: taken.map(({ item }) => item),
      answers: traced?.answers ?? [],
      kept: () => traced?.kept(),
      putBack() {
        for (const entry of taken) if (entry.until > now) waiting.set(entry.item.id, entry);
        traced?.putBack();
        schedule();
      },
      drop: (cause) => traced?.drop(cause),
    };
  }

  function flush(): Promise<void> {
    clearTimeout(flushing?.timer);
    flushing = undefined;
    sending = sending.then(send);
    return sending;
  }

  async function send(): Promise<void> {
    if (project === undefined) return;
    const { items, answers, kept, putBack, drop } = take(true);
    if (items.length === 0 && answers.length === 0) return;
    try {
      const args = { agent_id: agentId, credential: credential?.(), settled: items };
      await project.call("settle_model_calls", { ...args, ...(answers.length > 0 && { steps: answers }) });
      kept();
      backoffMs = flushMs;
    } catch (error) {
      // Too many calls are under way: that says nothing about these.
      if (error instanceof ProjectRefusal && error.status !== 429) {
        drop(error.code);
        warn("What calls used could not be settled; it counts in full", {
          code: error.code,
          calls: items.length,
        });
      } else {
        backoffMs = Math.min(10_000, Math.max(500, backoffMs * 2));
        putBack();
      }
    }
    schedule();
  }

  if (steps !== undefined) steps.onWaiting = schedule;
  schedule(); // what an earlier life left
  return {
    tell(item) {
      if (!waiting.has(item.id)) waiting.set(item.id, { item, until: Date.now() + keepMs });
      schedule();
    },
    take,
    async close() {
      const deadline = Date.now() + CLOSE_MS;
      await sending;
      // What failed is back: the project is down.
      for (let before = Number.POSITIVE_INFINITY; left() > 0 && left() < before && Date.now() < deadline; ) {
        before = left();
        await flush();
      }
      clearTimeout(flushing?.timer);
    },
  };
}
