// What a file of tests finds in its environment.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "vitest";

/** The environment of a file that a worker loads. */
function environmentOf(more: Record<string, string>): Record<string, string> {
  const { stdout } = spawnSync(
    process.execPath,
    ["--import", join(import.meta.dirname, "clean-environment.ts"), "-p", "JSON.stringify(process.env)"],
    { env: { PATH: process.env.PATH, ...more }, encoding: "utf8" },
  );
  return JSON.parse(stdout);
}

test("nothing of vitest's or of CI's report", () => {
  const { PATH, ...rest } = environmentOf({
    NODE_ENV: "test",
    VITEST: "true",
    LAUNCHPAD_TEST_REPORT: "report.json",
    VITEST_POOL_ID: "1",
    MINE: "x",
  });
  assert.equal(PATH, process.env.PATH);
  assert.deepEqual(rest, { MINE: "x" });
});

test("of two shared stacks each worker's own; of one the same", () => {
  const stackOf = (worker: string, stacks: unknown[]) => {
    const { LAUNCHPAD_TEST_STACK = "", ...rest } = environmentOf({
      VITEST_POOL_ID: worker,
      LAUNCHPAD_TEST_STACKS: JSON.stringify(stacks),
    });
    assert.ok(!("LAUNCHPAD_TEST_STACKS" in rest));
    return JSON.parse(LAUNCHPAD_TEST_STACK).apiUrl;
  };
  const both = [{ apiUrl: "http://a" }, { apiUrl: "http://b" }];
  assert.deepEqual([stackOf("1", both), stackOf("2", both)], ["http://a", "http://b"]);
  assert.deepEqual([stackOf("1", both.slice(1)), stackOf("2", both.slice(1))], ["http://b", "http://b"]);
});
