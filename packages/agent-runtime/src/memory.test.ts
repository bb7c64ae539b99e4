// V8's flags and the compile cache: agents of both engines start from one folder of compiled code.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "vitest";
import { runtimeProgram } from "./paths.ts";
import { skipEliza as skip } from "./testing/eliza.ts";

/** Starts and stops an agent; returns what Node logs about its compile cache. */
async function runOnce(folder: string, plugins: readonly string[]): Promise<string> {
  const file = join(folder, "agent.json");
  writeFileSync(file, JSON.stringify({ agentId: "agent-test", name: "tester", plugins }));
  const child = spawn(process.execPath, [runtimeProgram], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: join(folder, "cache"),
      NODE_DEBUG_NATIVE: "COMPILE_CACHE",
      AGENT_CONFIG_FILE: file,
      AGENT_STATE_DIR: join(folder, "state"),
      OPENAI_API_KEY: "not-a-key",
    },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const said = text(child.stderr);
  child.stdout.on("data", (lines) => {
    if (String(lines).includes('"message":"listening"')) child.stdin.end();
  });
  return said;
}

test("compiled code of one engine is good for the other, and after it", {
  skip: Boolean(skip),
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "agent-cache-"));
  t.onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  await runOnce(folder, []);
  for (const plugins of [["@elizaos/plugin-bootstrap"], []]) {
    const said = await runOnce(folder, plugins);
    assert.equal(said.match(/was rejected/g), null, `engine for [${plugins}]`);
    assert.ok((said.match(/was accepted/g) ?? []).length > 100);
  }
});
