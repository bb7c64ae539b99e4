// The end of CI: what failed is tried once more, alone; what it says, and when it fails.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { onTestFinished, test } from "vitest";
import { lastLine, type Outcome } from "./outcome.ts";
import { judge } from "./second-try.ts";
import { MOST_FILES, type Run, toTryAgain, verdict } from "./verdict.ts";

const ROOT = join(import.meta.dirname, "../..");

/** A file's outcome: names of tests that passed, and of those that failed. */
const file = (name: string, passed: string[], failed: string[], skipped = 0): Outcome["files"][number] => ({
  file: name,
  passed,
  skipped,
  failures: failed.map((one) => ({ name: one, isTest: true, reason: `${one} is wrong\nat ${name}:1:1` })),
});

/** A run as it ends in order: the last line, and exit code 1 where something failed. */
function run(name: string, files: Outcome["files"], part: Partial<Run> = {}): Run {
  const outcome = { files, elsewhere: [] };
  const failed = files.some(({ failures }) => failures.length > 0);
  return { name, outcome, output: `…\n${lastLine(outcome)}\n`, code: failed ? 1 : 0, ...part };
}

const lastOf = (text: string) => text.trimEnd().split("\n").at(-1);

test("runs without failures: the sum, and nothing else", () => {
  const runs = [run("code", [file("a", ["1", "2"], [])]), run("stack", [file("b", ["1"], [], 3)])];
  assert.deepEqual(toTryAgain(runs), []);
  assert.deepEqual(verdict(runs, []), { code: 0, text: "\nTests: 3 passed, 0 failed, 3 skipped\n" });
});

test("a test that passes at the second try counts as passed and is listed with its first error", () => {
  const runs = [run("code", [file("a", ["1"], ["2"]), file("b", ["1"], [])])];
  assert.deepEqual(toTryAgain(runs), ["a"]);
  const { code, text } = verdict(runs, [run("a", [file("a", ["1", "2"], [])])]);
  assert.equal(code, 0);
  assert.match(
    text,
    /Passed only at the second try.*:\n {2}a > 2\n {4}2 is wrong\n {4}at a:1:1\n\nTests: 3 passed, 0 failed/,
  );
});

test("a test that fails twice fails CI; so do those that the second run leaves out or breaks", () => {
  const runs = [run("code", [file("a", ["1"], ["2", "3", "4"])])];
  const { code, text } = verdict(runs, [run("a", [file("a", ["4"], ["1", "2"], 1)])]);
  assert.equal(code, 1);
  assert.match(text, /second try.*:\n {2}a > 4\n/);
  for (const name of ["1", "2", "3"]) assert.match(text, new RegExp(`Failed:[^]*a > ${name}\n`));
  assert.equal(lastOf(text), "Tests: 1 passed, 3 failed, 1 skipped");
});

test("a second run that ends early heals nothing", () => {
  const runs = [run("code", [file("a", [], ["1"])])];
  for (const part of [{ outcome: undefined }, { code: 137 }, { output: "cut off" }]) {
    const { code, text } = verdict(runs, [run("a", [file("a", ["1"], [])], part)]);
    assert.deepEqual([code, lastOf(text)], [1, "Tests: 0 passed, 1 failed, 0 skipped"]);
  }
});

test("a hook that fails once is healed by a second run of its tests", () => {
  const first = { file: "a", passed: [], skipped: 2, failures: [{ name: "s", isTest: false, reason: "x" }] };
  const { code, text } = verdict([run("code", [first])], [run("a", [file("a", ["s > 1", "s > 2"], [])])]);
  assert.deepEqual([code, lastOf(text)], [0, "Tests: 2 passed, 0 failed, 0 skipped"]);
});

test(`more than ${MOST_FILES} failed files are not tried again`, () => {
  const files = Array.from({ length: MOST_FILES + 1 }, (_, at) => file(`f${at}`, [], ["1"]));
  assert.deepEqual(toTryAgain([run("code", files)]), []);
  assert.equal(toTryAgain([run("code", files.slice(1))]).length, MOST_FILES);
});

test("a run that ended early, failed by itself or is below the floor of coverage fails CI, with its last words", () => {
  const ok = [file("a", ["1"], [])];
  const floor = "ERROR: Coverage for lines (61%) does not meet global threshold (63%)";
  for (const [part, words] of [
    [
      { outcome: undefined, output: "Segmentation fault", code: 139 },
      /ended early, with exit code 139:\n.*Segmentation fault/,
    ],
    [{ output: "killed", code: 1 }, /ended early, with exit code 1:\n.*killed/],
    [{ code: 1 }, /ended with exit code 1, though no test failed/],
    [{ output: `${floor}\nTests: 1 passed, 0 failed, 0 skipped`, code: 1 }, /61%\) does not meet/],
  ] as const) {
    const { code, text } = verdict([run("code", ok, part)], []);
    assert.equal(code, 1);
    assert.match(text, words);
    assert.match(lastOf(text) ?? "", /^Tests: [01] passed, 1 failed, 0 skipped$/);
  }
});

test("a floor of coverage that is missed stays a failure beside a test that passes at the second try", () => {
  const files = [file("a", [], ["1"])];
  const floor = `ERROR: Coverage for lines (61%) does not meet global threshold (63%)\n${run("", files).output}`;
  const { code, text } = verdict([run("code", files, { output: floor })], [run("a", [file("a", ["1"], [])])]);
  assert.deepEqual([code, lastOf(text)], [1, "Tests: 1 passed, 1 failed, 0 skipped"]);
});

test("the list is bounded, and names every failure while it can", () => {
  const files = Array.from({ length: 70 }, (_, at) => file(`f${at}`, [], ["t"]));
  const some = verdict([run("code", files)], []).text.split("\n");
  assert.ok(some.length < 160);
  for (const { file: name } of files) assert.ok(some.includes(`  ${name} > t`), name);
  const many = Array.from({ length: 700 }, (_, at) => file(`f${at}`, [], ["t"]));
  const { text } = verdict([run("code", many)], []);
  assert.ok(text.split("\n").length < 160);
  assert.match(text, /and more: 700 in all\n\nTests: 0 passed, 700 failed/);
});

test("from real runs of vitest: a chance is told from a fault", async () => {
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  const folder = mkdtempSync(join(ROOT, ".cache/second-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const before = JSON.stringify(join(folder, "ran-before"));
  writeFileSync(
    join(folder, "chance.test.js"),
    `import { existsSync, writeFileSync } from "node:fs"; import { test } from "vitest";
     test("steady", () => {});
     test("by chance", () => { if (!existsSync(${before})) { writeFileSync(${before}, ""); throw new Error("once"); } });`,
  );
  writeFileSync(
    join(folder, "fault.test.js"),
    `import { test } from "vitest"; test("wrong", () => { throw new Error("always"); });`,
  );
  const said = join(folder, "said");
  mkdirSync(said);
  const vitest = [
    join(ROOT, "node_modules/.bin/vitest"),
    "--root",
    folder,
    "--pool=forks",
    "--reporter=default",
  ];
  vitest.push(`--reporter=${join(import.meta.dirname, "summary.ts")}`);
  const [program = "", ...args] = vitest;
  const env = { ...process.env, LAUNCHPAD_TEST_REPORT: join(said, "code.json") };
  const first = spawnSync(program, [...args, "run"], { env, encoding: "utf8" });
  writeFileSync(join(said, "code.log"), first.stdout);
  writeFileSync(join(said, "code.code"), `${first.status}\n`);
  assert.equal(first.status, 1);
  assert.ok(existsSync(join(said, "code.json")));

  const { code, text } = await judge({ folder: said, vitest, out: new PassThrough().resume() });
  assert.equal(code, 1);
  assert.match(text, /second try.*:\n {2}chance\.test\.js > by chance\n {4}once\n/);
  assert.match(text, /Failed:\n {2}fault\.test\.js > wrong\n {4}always\n/);
  assert.equal(lastOf(text), "Tests: 2 passed, 1 failed, 0 skipped");
  assert.match(readFileSync(join(said, "second-1.log"), "utf8"), /fault\.test\.js/);
});
