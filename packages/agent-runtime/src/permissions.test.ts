import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { runtimeProgram, sharedCode } from "./paths.ts";
import { codeFolders, permittedCommand } from "./permissions.ts";
import { startAgent } from "./testing/agent.ts";

const files = { configFile: "/a/agent.json", stateDir: "/a/data", cacheDir: "/a/cache" };

test("a replica reads its code and its files, and writes its own folders", () => {
  const command = permittedCommand(files);
  const of = (flag: string) =>
    command.flatMap((word) => (word.startsWith(`${flag}=`) ? [word.slice(flag.length + 1)] : []));
  assert.deepEqual(of("--allow-fs-read"), [
    ...codeFolders(),
    ...sharedCode,
    "/a/agent.json",
    "/a/data",
    "/a/cache",
  ]);
  assert.deepEqual(of("--allow-fs-write"), ["/a/data", "/a/cache"]);
  assert.ok(!command.some((word) => /allow-(child|worker|addons|wasi|inspector)/.test(word)));
  assert.equal(command.at(-1), runtimeProgram);
});

test("a folder whose name Node would read as a pattern is refused", () => {
  assert.throws(() => permittedCommand({ ...files, stateDir: "/a*/data" }), /\/a\*\/data/);
});

test("a folder whose name begins with an allowed one's is not allowed", () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-permissions-"));
  try {
    for (const name of ["data", "data2"]) mkdirSync(join(folder, name));
    writeFileSync(join(folder, "data2/secret"), "");
    const command = permittedCommand({ ...files, stateDir: join(folder, "data") }).slice(1, -1);
    const script = `require("node:fs").readFileSync(${JSON.stringify(join(folder, "data2/secret"))})`;
    const { stderr } = spawnSync(process.execPath, [...command, "-e", script], { encoding: "utf8" });
    assert.match(stderr, /ERR_ACCESS_DENIED/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("no debugger opens on SIGUSR1", async () => {
  await using agent = await startAgent();
  agent.process.kill("SIGUSR1");
  assert.equal((await agent.get("/health")).status, 200);
  await assert.rejects(fetch("http://127.0.0.1:9229/json/version"));
});
