// What CI says in the end of all its runs and second tries, as text and exit code.
import { stripVTControlCharacters } from "node:util";
import { blockOf, blocksOf, type Failure, type FileOutcome, lastLine, type Outcome } from "./outcome.ts";

/** A run of vitest: what its reporter wrote, what was printed, and its exit code. */
export interface Run {
  name: string;
  outcome: Outcome | undefined;
  output: string;
  code: number;
}

/** More files than these failed by no chance: they are not tried again. */
export const MOST_FILES = 6;
/** The end of a log is all that some see of it. */
const MOST_LINES = 150;

/** Why a run failed as such, whatever its tests came to; empty where it did not. */
export function troubleOf({ name, outcome, output, code }: Run): Failure[] {
  const failure = (reason: string) => [{ name: `the run ${name}`, isTest: false, reason }];
  const lines = stripVTControlCharacters(output).trimEnd().split("\n");
  if (outcome === undefined || code > 1 || lines.at(-1) !== lastLine(outcome))
    return failure([`ended early, with exit code ${code}:`, ...lines.slice(-8)].join("\n"));
  const floor = lines.filter((line) => /^ERROR: Coverage .* does not meet/.test(line));
  if (floor.length > 0) return failure(floor.join("\n"));
  if (code !== 0 && blocksOf(outcome).length === 0)
    return failure([`ended with exit code ${code}, though no test failed:`, ...lines.slice(-8)].join("\n"));
  return [];
}

/** The files that get a second try: those in which something failed, unless they are too many. */
export function toTryAgain(runs: readonly Run[]): string[] {
  const failed = runs
    .flatMap(({ outcome }) => outcome?.files ?? [])
    .filter(({ failures }) => failures.length > 0)
    .map(({ file }) => file);
  return failed.length > MOST_FILES ? [] : failed;
}

/** What of a file's first failures did not pass in its second run, and what failed in that. */
function failuresOfBoth(first: FileOutcome, second: FileOutcome): Failure[] {
  const passed = new Set(second.passed);
  const again = new Set(second.failures.map(({ name }) => name));
  const unproved = first.failures.filter(
    ({ isTest, name }) => isTest && !passed.has(name) && !again.has(name),
  );
  return [...second.failures, ...unproved];
}

/**
 * Puts all together: a file's second run takes the place of its first. What passes then counts as passed, and is listed as a
 * fault to mend.
 * @param seconds each of one file alone
 */
export function verdict(runs: readonly Run[], seconds: readonly Run[]): { code: 0 | 1; text: string } {
  const tried = new Map<string, FileOutcome>();
  for (const run of seconds)
    for (const file of troubleOf(run).length === 0 ? (run.outcome?.files ?? []) : [])
      tried.set(file.file, file);
  const total: Outcome = { files: [], elsewhere: runs.flatMap(troubleOf) };
  const late: string[][] = [];
  for (const { outcome } of runs) {
    total.elsewhere.push(...(outcome?.elsewhere ?? []));
    for (const first of outcome?.files ?? []) {
      const second = first.failures.length === 0 ? undefined : tried.get(first.file);
      if (second === undefined) {
        total.files.push(first);
        continue;
      }
      const failures = failuresOfBoth(first, second);
      const names = new Set(failures.map(({ name }) => name));
      total.files.push({ ...second, failures });
      late.push(
        ...first.failures.filter(({ name }) => !names.has(name)).map((one) => blockOf(first.file, one)),
      );
    }
  }
  const failed = blocksOf(total);
  const text = [
    ...listed("Passed only at the second try (each a fault to mend):", late, 50),
    ...listed("Failed:", failed, MOST_LINES - Math.min(late.flat().length, 50)),
    "",
    lastLine(total),
    "",
  ].join("\n");
  return { code: failed.length === 0 ? 0 : 1, text };
}

/** The blocks below a title, in so many lines at most: each keeps its first ones. */
function listed(title: string, blocks: readonly string[][], most: number): string[] {
  if (blocks.length === 0) return [];
  const each = Math.max(2, Math.floor(most / blocks.length));
  const lines = blocks.flatMap((block) => block.slice(0, each));
  const shown = lines.slice(0, most);
  return [
    "",
    title,
    ...shown,
    ...(shown.length < lines.length ? [`  … and more: ${blocks.length} in all`] : []),
  ];
}
