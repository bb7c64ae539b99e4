import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "vitest";
import { openLogs } from "./logs.ts";

async function scratch(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-logs-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

test("a log file is moved aside while it is written, and two are all there are", async (t) => {
  const folder = await scratch(t);
  const logs = openLogs(folder, 10_000);
  for (let line = 0; line < 5000; line++) {
    logs.write("function api", `line ${line}`);
    if (line % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await logs.close();
  assert.deepEqual((await readdir(folder)).sort(), ["function-api.log", "function-api.log.1"]);
  const [now, before] = await Promise.all(
    ["function-api.log", "function-api.log.1"].map((name) => readFile(join(folder, name), "utf8")),
  );
  assert.ok((now?.length ?? 0) + (before?.length ?? 0) < 40_000);
  assert.match(`${before}${now}`, /line 4998\nline 4999\n$/);
  assert.equal((await stat(join(folder, "function-api.log"))).mode & 0o777, 0o600);
});

test("what an earlier start wrote counts", async (t) => {
  const folder = await scratch(t);
  await writeFile(join(folder, "stack.log"), "x".repeat(9000));
  const logs = openLogs(folder, 10_000);
  for (let line = 0; line < 300; line++) {
    logs.write("stack", `line ${line}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await logs.close();
  assert.ok((await readFile(join(folder, "stack.log.1"), "utf8")).startsWith("xxx"));
});

test("a file that cannot be written ends nothing", async (t) => {
  const folder = await scratch(t);
  const path = join(folder, "stack.log");
  await mkdir(path); // nothing can be written there
  const logs = openLogs(folder);
  logs.write("stack", "lost");
  await new Promise((resolve) => setTimeout(resolve, 50));
  logs.write("stack", "lost too");
  await logs.close();
  assert.ok((await stat(path)).isDirectory());
});
