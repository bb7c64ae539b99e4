// Steps on their way to the project, written down in the agent's own folder: a runtime that is killed between an answer and the
// report of its steps sends them when it starts again. The project keeps each step once, however often it comes.
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe } from "../errors.ts";
import type { Step } from "./steps.ts";

/** A step, and the answer that it belongs to. */
export interface TracedStep {
  readonly messageId: string;
  readonly step: Step;
}

export interface StepJournal {
  /** What an earlier life of this runtime did not report. */
  readonly left: readonly TracedStep[];
  /** Writes a step down, before anybody sees its answer. */
  add(traced: TracedStep): void;
  /** The steps that are still to be reported; the others are forgotten, at the latest when the file is large. */
  keep(waiting: readonly TracedStep[]): void;
}

/** Forgets everything: a runtime without a folder. */
export const noJournal: StepJournal = { left: [], add: () => undefined, keep: () => undefined };

/** Reported steps stay in the file until it is as large as this or nothing waits. */
const LARGE = 1_000_000;
/** A file of ours is never larger: as many as may wait, each of some kilobytes. */
const MOST_READ = 32_000_000;

/**
 * Opens the journal of a folder. A disk that is full or read-only costs the journal, never an answer.
 * @param folder AGENT_STATE_DIR, which lives as long as its replica
 */
export function openStepJournal(
  folder: string | undefined,
  warn: (message: string, facts?: Record<string, unknown>) => void,
): StepJournal {
  if (folder === undefined) return noJournal;
  const file = join(folder, "steps.jsonl");
  let left = readLeft(file);
  let descriptor: number | undefined;
  let size = 0;
  let broken = false;

  const guarded = (work: () => void) => {
    if (broken) return;
    try {
      work();
    } catch (error) {
      broken = true;
      warn("Steps of answers cannot be written to the agent's folder: a crash may lose some", {
        cause: describe(error),
      });
      if (descriptor !== undefined) closeSync(descriptor);
    }
  };
  const write = (traced: readonly TracedStep[]) => {
    descriptor ??= openSync(file, "a", 0o600);
    for (const { messageId, step } of traced)
      size += writeSync(descriptor, `${JSON.stringify({ messageId, step })}\n`);
  };
  const empty = () => {
    descriptor ??= openSync(file, "a", 0o600);
    ftruncateSync(descriptor, 0);
    size = 0;
  };
  if (left.length > 0) size = LARGE; // the first report rewrites it
  return {
    get left() {
      const taken = left;
      left = [];
      return taken;
    },
    add: (traced) => guarded(() => write([traced])),
    keep: (waiting) =>
      guarded(() => {
        if (size === 0 || (waiting.length > 0 && size < LARGE)) return;
        empty();
        write(waiting);
      }),
  };
}

/** The whole lines of a file; the last one may be cut by a kill. */
function readLeft(file: string): TracedStep[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return [];
  }
  return text
    .slice(-MOST_READ)
    .split("\n")
    .flatMap((line) => {
      try {
        const { messageId, step } = JSON.parse(line) as Partial<TracedStep>;
        return typeof messageId === "string" && typeof step === "object" && step !== null
          ? [{ messageId, step }]
          : [];
      } catch {
        return [];
      }
    });
}
