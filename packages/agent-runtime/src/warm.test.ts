// The compiled code that agents without plugins start from.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "vitest";
import { bundleRuntime } from "./bundle.ts";
import { modelCacheOf } from "./paths.ts";
import { permittedCommand } from "./permissions.ts";
import { warmModelCache } from "./warm.ts";

/** The compiled files in a cache, of all versions and users, by their names within it. */
const files = (cache: string): string[] =>
  readdirSync(cache, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name.startsWith("v"))
    .flatMap(({ name }) => readdirSync(join(cache, name)).map((file) => join(name, file)))
    .sort();

test("an agent without plugins finds all compiled that it loads, and nothing of an older release", async (context) => {
  await bundleRuntime();
  const scratch = mkdtempSync(join(tmpdir(), "agent-warm-"));
  context.onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
  const cache = join(scratch, "cache");
  const model = modelCacheOf(cache);
  mkdirSync(join(model, "v0"), { recursive: true });
  writeFileSync(join(model, "v0/old"), "of an older release");
  await warmModelCache(context.signal, join(scratch, "state"), cache);

  const compiled = files(model);
  assert.ok(compiled.length > 0 && !compiled.includes("v0/old"));
  for (const file of compiled)
    assert.equal(statSync(join(cache, file)).ino, statSync(join(model, file)).ino, "a link, not a copy");
  assert.deepEqual(
    readdirSync(cache).filter((name) => name.startsWith("draft-")),
    [],
  );

  const inodes = () => files(model).map((file) => `${file} ${statSync(join(model, file)).ino}`);
  const before = inodes();
  const stateDir = join(scratch, "data");
  const configFile = join(scratch, "agent.json");
  mkdirSync(stateDir);
  writeFileSync(configFile, JSON.stringify({ agentId: "a", name: "a" }));
  const [program, ...args] = permittedCommand({ configFile, stateDir, cacheDir: model });
  const child = spawn(program, args, {
    env: { NODE_COMPILE_CACHE: model, AGENT_CONFIG_FILE: configFile, AGENT_STATE_DIR: stateDir },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  for await (const line of createInterface({ input: child.stdout }))
    if (line.includes('"message":"listening"')) child.stdin.end();
  await ended;
  assert.deepEqual(inodes(), before, "its start compiled nothing, and V8 accepted all");
});
