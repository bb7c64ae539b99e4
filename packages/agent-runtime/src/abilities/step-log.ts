// The steps of a runtime's answers on their way to the project: kept until the meter's next call carries them, behind the
// answer, which never waits for them. What cannot be sent is tried again a few times, then dropped and counted.
import { noJournal, type StepJournal, type TracedStep } from "./step-journal.ts";
import type { Step, Trace } from "./steps.ts";

/** Steps of a long answer are shown meanwhile. */
const SHOW_MS = 200;
const MAX_TRIES = 6;
/** Of all answers under way. */
const MAX_WAITING = 2_000;
/** As many as the database accepts at once. */
const BATCH = 200;

/** One answer's steps, as private.add_runtime_steps expects them. */
export interface AnswerSteps {
  readonly messageId: string;
  readonly steps: readonly Step[];
}

/** Steps under way; exactly one of the ends is called. */
export interface TakenSteps {
  readonly answers: readonly AnswerSteps[];
  kept(): void;
  putBack(): void;
  drop(cause: string): void;
}

/** Where the meter finds what its calls carry. */
export interface StepSource {
  /** How many steps wait. */
  readonly size: number;
  /**
   * Takes what waits, at most so much as goes at once.
   * @returns `kept`, for what the project has, `putBack`, for what could not be sent, and `drop`, for what the database refused
   */
  take(): TakenSteps;
  /** Is called when steps wait that should be sent within so many milliseconds. */
  onWaiting: (withinMs: number) => void;
}

export interface StepLog extends StepSource {
  /** Opens the trace of an answer. */
  open(messageId: string): { readonly trace: Trace; end(): void };
}

interface Waiting extends TracedStep {
  tries: number;
}

export interface StepLogOptions {
  /** Whether there is a project that keeps steps; without one they are let go. */
  readonly connected: boolean;
  /** Where steps are written down until they are reported. */
  readonly journal?: StepJournal;
  warn(message: string, facts?: Record<string, unknown>): void;
}

/** Makes the log of one runtime. */
export function createStepLog({ connected, journal = noJournal, warn }: StepLogOptions): StepLog {
  let waiting: Waiting[] = connected ? journal.left.map((traced) => ({ ...traced, tries: 0 })) : [];
  const sent = new Set<Waiting>();
  let dropped = 0;

  const drop = (entries: readonly Waiting[], cause: string) => {
    const [first] = entries;
    if (first === undefined) return;
    dropped += entries.length;
    warn("Steps of an answer could not be kept", { messageId: first.messageId, dropped, cause });
  };

  const log: StepLog = {
    get size() {
      return waiting.length;
    },
    onWaiting: () => undefined,
    open: (messageId) => ({
      trace(step) {
        if (!connected) return;
        if (waiting.length >= MAX_WAITING) {
          dropped += 1;
          return;
        }
        waiting.push({ messageId, step, tries: 0 });
        journal.add({ messageId, step });
        log.onWaiting(SHOW_MS);
      },
      end() {
        if (waiting.some((entry) => entry.messageId === messageId)) log.onWaiting(0);
      },
    }),
    take() {
      const taken = waiting.slice(0, BATCH);
      waiting = waiting.slice(BATCH);
      for (const entry of taken) sent.add(entry);
      const answers = Map.groupBy(taken, ({ messageId }) => messageId);
      const settle = () => {
        for (const entry of taken) sent.delete(entry);
        journal.keep([...sent, ...waiting]);
      };
      return {
        answers: [...answers].map(([messageId, entries]) => ({
          messageId,
          steps: entries.map(({ step }) => step),
        })),
        kept: settle,
        putBack() {
          for (const entry of taken) entry.tries += 1;
          drop(
            taken.filter(({ tries }) => tries >= MAX_TRIES),
            "the project cannot be reached",
          );
          waiting = [...taken.filter(({ tries }) => tries < MAX_TRIES), ...waiting];
          settle();
        },
        drop(cause) {
          drop(taken, cause);
          settle();
        },
      };
    },
  };
  return log;
}
