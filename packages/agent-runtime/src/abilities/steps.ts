// Steps of an answer, for its trace: what was called, with what, what came back, how long it took. Whoever answers opens a
// trace; models and tools that run inside it add to it.
import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";

/** The kinds that the database knows (answer_steps_kind_known). */
export type StepKind = "model" | "tool" | "retrieval" | "approval";
/** refused: the platform did not let it happen. */
export type StepStatus = "ok" | "error" | "refused" | "pending";

/** One step, as private.add_answer_step expects it. */
export interface Step {
  /** Made where the step happened: the database keeps each step of an answer once, however often it is sent. */
  readonly id: string;
  readonly kind: StepKind;
  readonly name: string;
  readonly status: StepStatus;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly milliseconds: number;
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly cachedInputTokens?: number;
  readonly arguments?: Record<string, unknown>;
  readonly result?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Takes each step when it has ended. */
export type Trace = (step: Step) => void;

const traces = new AsyncLocalStorage<Trace>();

/** Runs `work`, whose steps go to `trace`. */
export const traced = <T>(trace: Trace, work: () => Promise<T>): Promise<T> => traces.run(trace, work);

/** What a step came to. */
export type Ended = Omit<Step, "id" | "kind" | "name" | "startedAt" | "milliseconds">;

/**
 * Begins a step. Call the returned function at its end, once; outside of a trace it does nothing.
 * @example
 * const end = beginStep("tool", "weather");
 * end({ status: "ok", result: "sunny" });
 */
export function beginStep(kind: StepKind, name: string): (ended: Ended) => void {
  const trace = traces.getStore();
  if (trace === undefined) return () => undefined;
  const startedAt = Date.now();
  const started = performance.now();
  let open = true;
  return (ended) => {
    if (!open) return;
    open = false;
    const milliseconds = Math.round(performance.now() - started);
    trace({ id: randomUUID(), kind, name, startedAt, milliseconds, ...ended });
  };
}
