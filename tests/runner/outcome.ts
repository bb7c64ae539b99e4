// What a run of tests came to, file by file: read from vitest at its end, and the words in which it is told.
import { join } from "node:path";
import type { TestModule } from "vitest/node";

const ROOT = join(import.meta.dirname, "../..");

/** Something that failed: a test, or a hook, a file that cannot be loaded, an error that no test caught. */
export interface Failure {
  name: string;
  isTest: boolean;
  reason: string;
}

export interface FileOutcome {
  /** From the repository's folder. */
  file: string;
  /** Names of tests. */
  passed: string[];
  skipped: number;
  failures: Failure[];
}

export interface Outcome {
  files: FileOutcome[];
  /** What cannot be said to be of one file. */
  elsewhere: Failure[];
}

export interface Problem {
  message?: string;
  stack?: string;
  VITEST_TEST_PATH?: string;
}

/** Suites and files count as failed ones where a hook or loading fails, and so does what no test caught. */
export function outcomeOf(modules: Iterable<TestModule>, unhandled: Iterable<Problem>): Outcome {
  const files = new Map<string, FileOutcome>();
  for (const module of modules) files.set(module.moduleId, fileOutcome(module));
  const elsewhere: Failure[] = [];
  for (const problem of unhandled) {
    const file = files.get(problem.VITEST_TEST_PATH ?? "");
    const failure = { name: "outside of a test", isTest: false, reason: reasonOf(problem) };
    (file?.failures ?? elsewhere).push(failure);
  }
  return { files: [...files.values()], elsewhere };
}

function fileOutcome(module: TestModule): FileOutcome {
  const outcome: FileOutcome = { file: module.relativeModuleId, passed: [], skipped: 0, failures: [] };
  const fail = (name: string, isTest: boolean, errors: readonly Problem[]) =>
    outcome.failures.push({ name, isTest, reason: errors.map(reasonOf).join("\n") });
  if (module.errors().length > 0) fail("", false, module.errors());
  for (const suite of module.children.allSuites())
    if (suite.errors().length > 0) fail(suite.fullName, false, suite.errors());
  for (const test of module.children.allTests()) {
    const { state, errors = [] } = test.result();
    if (state === "passed") outcome.passed.push(test.fullName);
    else if (state === "skipped") outcome.skipped += 1;
    else fail(test.fullName, true, state === "pending" ? [{ message: "did not end" }] : errors);
  }
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
  return [...message.split("\n").slice(0, 12), ...(place === undefined ? [] : [place])].join("\n");
}

/** Every failure as a block of lines: where, and indented below it why. */
export function blocksOf({ files, elsewhere }: Outcome): string[][] {
  return [
    ...files.flatMap(({ file, failures }) => failures.map((failure) => blockOf(file, failure))),
    ...elsewhere.map((failure) => blockOf("", failure)),
  ];
}

/** One failure as lines. */
export function blockOf(file: string, { name, reason }: Failure): string[] {
  const title = [file, name].filter((part) => part !== "").join(" > ");
  return [title, ...reason.split("\n").map((line) => `  ${line}`)].map((line) => `  ${line}`.trimEnd());
}

/** The last line of a run. */
export function lastLine(outcome: Outcome): string {
  let [passed, failed, skipped] = [0, outcome.elsewhere.length, 0];
  for (const file of outcome.files) {
    passed += file.passed.length;
    failed += file.failures.length;
    skipped += file.skipped;
  }
  return `Tests: ${passed} passed, ${failed} failed, ${skipped} skipped`;
}
