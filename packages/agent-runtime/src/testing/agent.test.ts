import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { test } from "vitest";
import { runToEnd } from "./agent.ts";

test("a program that does not end is killed, and its test fails with what it said", async () => {
  let child: ChildProcess | undefined;
  const begun = (started: ChildProcess) => {
    child = started;
  };
  await assert.rejects(runToEnd({}, begun, 1_000), /did not end within 1 s/);
  assert.equal(child?.signalCode, "SIGKILL");
});
