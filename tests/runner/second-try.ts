// The end of CI: tries files in which something failed once more, each alone, and says what all runs came to.
//   node tests/runner/second-try.ts FOLDER   FOLDER has NAME.json, NAME.log and NAME.code of each run (.ci/run)
import { spawn } from "node:child_process";
import { createWriteStream, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import type { Outcome } from "./outcome.ts";
import { type Run, toTryAgain, verdict } from "./verdict.ts";

/** What a run has left in the folder. A run of which nothing is there has ended early. */
function readRun(folder: string, name: string): Run {
  const read = (ending: string): string | undefined => {
    try {
      return readFileSync(join(folder, `${name}.${ending}`), "utf8");
    } catch {
      return undefined;
    }
  };
  return {
    name,
    outcome: parsed(read("json")),
    output: read("log") ?? "",
    code: Number(read("code") ?? 2),
  };
}

/** Undefined where the report was not written, or not to its end. */
function parsed(report: string | undefined): Outcome | undefined {
  try {
    return report === undefined ? undefined : JSON.parse(report);
  } catch {
    return undefined;
  }
}

/** Runs one file, with a vitest of its own. */
async function tryAgain(file: string, name: string, { folder, out, vitest }: Judged): Promise<Run> {
  out.write(`\nSecond try: ${file}\n`);
  const [program = "vitest", ...rest] = vitest;
  const child = spawn(program, [...rest, "run", file], {
    env: { ...process.env, LAUNCHPAD_TEST_REPORT: join(folder, `${name}.json`) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = createWriteStream(join(folder, `${name}.log`));
  for (const stream of [child.stdout, child.stderr]) {
    stream.pipe(out, { end: false });
    stream.pipe(log, { end: false });
  }
  const { promise, resolve } = Promise.withResolvers<number>();
  child.once("error", () => resolve(2));
  child.once("close", (code) => resolve(code ?? 2));
  const code = await promise;
  await finished(log.end());
  return { ...readRun(folder, name), name: file, code };
}

/** What is judged, and how files are tried again. */
interface Judged {
  folder: string;
  /** The command that runs vitest. */
  vitest: string[];
  /** Where second tries are shown. */
  out: Writable;
}

export async function judge(judged: Judged): Promise<{ code: 0 | 1; text: string }> {
  const { folder } = judged;
  const names = readdirSync(folder).filter((name) => name.endsWith(".log"));
  const runs = names.map((name) => readRun(folder, basename(name, ".log")));
  const seconds: Run[] = [];
  for (const file of toTryAgain(runs)) seconds.push(await tryAgain(file, `second-${seconds.length}`, judged));
  return verdict(runs, seconds);
}

if (import.meta.main) {
  const folder = process.argv[2] ?? ".";
  const { code, text } = await judge({ folder, vitest: ["vitest"], out: process.stdout });
  process.exitCode = code;
  process.stdout.write(text);
}
