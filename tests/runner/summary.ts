// The end of a run: each failure with its reason, then `Tests: N passed, N failed, N skipped` as the last line.
import { writeFileSync } from "node:fs";
import type { Reporter, TestModule, Vitest } from "vitest/node";
import { blocksOf, lastLine, type Outcome, outcomeOf, type Problem } from "./outcome.ts";

/** A file that gets the outcome as JSON: CI's. Read now, since programs that tests start must not see it. */
const REPORT = process.env.LAUNCHPAD_TEST_REPORT;

/** What the end of a run says. */
function textOf(outcome: Outcome): string {
  const listed = blocksOf(outcome).map((lines) => `${lines.join("\n")}\n`);
  return `${listed.length === 0 ? "" : `\nFailed:\n${listed.join("")}`}\n${lastLine(outcome)}\n`;
}

/** The reporter. Coverage, teardowns and other reporters write after a run's end: this one when the process ends. */
export default class Summary implements Reporter {
  #watch = false;
  #text = "";

  onInit(vitest: Vitest): void {
    this.#watch = vitest.config.watch;
    process.once("exit", () => process.stdout.write(this.#text));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly Problem[]): void {
    const outcome = outcomeOf(modules, unhandled);
    if (REPORT !== undefined) writeFileSync(REPORT, JSON.stringify(outcome));
    if (this.#watch) process.stdout.write(textOf(outcome));
    else this.#text = textOf(outcome);
  }
}
