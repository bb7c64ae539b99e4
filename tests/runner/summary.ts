// The end of a run: each failure with its reason, then `Tests: N passed, N failed, N skipped` as the last line.
import { join } from "node:path";
import type { Reporter, TestModule, TestSuite, Vitest } from "vitest/node";

const ROOT = join(import.meta.dirname, "../..");

/** What ran, and a block of text for each failure. */
interface Outcome {
  passed: number;
  skipped: number;
  failures: string[];
}

interface Problem {
  message?: string;
  stack?: string;
}

/** Counts tests. Suites and files count as failed ones where a hook or loading fails, and so does what no test caught. */
function outcomeOf(modules: Iterable<TestModule>, unhandled: Iterable<Problem>): Outcome {
  const outcome: Outcome = { passed: 0, skipped: 0, failures: [] };
  const fail = (name: string, errors: readonly Problem[]) => {
    outcome.failures.push([name, ...errors.map(reasonOf)].join("\n"));
  };
  const failInHooks = (name: string, part: TestModule | TestSuite) => {
    if (part.errors().length > 0) fail(name, part.errors());
  };
  for (const module of modules) {
    const file = module.relativeModuleId;
    failInHooks(file, module);
    for (const suite of module.children.allSuites()) failInHooks(`${file} > ${suite.fullName}`, suite);
    for (const test of module.children.allTests()) {
      const { state, errors = [] } = test.result();
      if (state === "passed") outcome.passed += 1;
      else if (state === "skipped") outcome.skipped += 1;
      else fail(`${file} > ${test.fullName}`, state === "pending" ? [{ message: "did not end" }] : errors);
    }
  }
  for (const problem of unhandled) fail("outside of a test", [problem]);
  return outcome;
}

/** The message, and the first line of the stack that is in this repository. */
function reasonOf({ message = "", stack = "" }: Problem): string {
  const place = stack
    .split("\n")
    .find((line) => line.trim().startsWith("at ") && !/node_modules|\bnode:/.test(line))
    ?.trim()
    .replace(`file://${ROOT}/`, "")
    .replace(/\?vitest=\d+/, "");
  const lines = message.split("\n").slice(0, 12);
  return [...lines, ...(place === undefined ? [] : [place])].map((line) => `    ${line}`).join("\n");
}

/** What the end of a run says. */
function textOf({ passed, skipped, failures }: Outcome): string {
  const listed = failures.map((failure) => `  ${failure}\n`).join("");
  return `${listed && `\nFailed:\n${listed}`}\nTests: ${passed} passed, ${failures.length} failed, ${skipped} skipped\n`;
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
    const text = textOf(outcomeOf(modules, unhandled));
    if (this.#watch) process.stdout.write(text);
    else this.#text = text;
  }
}
