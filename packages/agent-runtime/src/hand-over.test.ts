// A runtime that waits: it takes one line, is an agent from then on, and has nothing of one before.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { type TestContext, test } from "vitest";
import { bundleRuntime } from "./bundle.ts";
import { firstLine, WAITS } from "./hand-over.ts";
import { compileCacheDir } from "./paths.ts";
import { permittedCommand } from "./permissions.ts";
import type { LogLine } from "./testing/agent.ts";

async function startWaiting(context: TestContext) {
  await bundleRuntime();
  const folder = mkdtempSync(join(tmpdir(), "agent-waits-"));
  const stateDir = join(folder, "state");
  mkdirSync(stateDir);
  const configFile = join(folder, "agent.json");
  const [program, ...args] = permittedCommand({ configFile, stateDir, cacheDir: compileCacheDir });
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: compileCacheDir,
      AGENT_STATE_DIR: stateDir,
      [WAITS]: "1",
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const exited = once(child, "close").then(([code]) => code as number | null);
  context.onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
    rmSync(folder, { recursive: true, force: true });
  });
  const lines: LogLine[] = [];
  const heard = new Map<string, PromiseWithResolvers<LogLine>>();
  const hear = (message: string) => {
    const said = heard.get(message) ?? Promise.withResolvers<LogLine>();
    heard.set(message, said);
    return said;
  };
  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as LogLine;
    lines.push(line);
    hear(line.message).resolve(line);
  });
  await hear("waiting").promise;
  return { child, configFile, exited, hear, lines };
}

const PROBE_KEY = "p".repeat(64);

const handed = (configFile: string, name: string) =>
  `${JSON.stringify({
    config: { agentId: name, name, revision: 7, plugins: [] },
    environment: {
      AGENT_ID: name,
      AGENT_REPLICA: `${name}-abc234`,
      AGENT_CONFIG_FILE: configFile,
      AGENT_PROBE_KEY: PROBE_KEY,
      OPENAI_API_KEY: "a-key-of-the-agent",
      WORD: "ünïcode",
    },
  })}\n`;

test("a waiting runtime becomes the agent of its first line, in pieces too, and no other's after that", async (context) => {
  const { child, configFile, exited, hear, lines } = await startWaiting(context);
  const line = Buffer.from(handed(configFile, "first"));
  child.stdin.write(line.subarray(0, 100));
  child.stdin.write(line.subarray(100));
  const { metadata } = await hear("listening").promise;
  child.stdin.write(handed(configFile, "second"));
  const answer = await fetch(`http://127.0.0.1:${metadata.port}/metrics`, {
    headers: { "x-launchpad-probe": PROBE_KEY },
  });
  assert.match(await answer.text(), /agent_info\{agent_id="first",replica="first-abc234"\}/);
  if (process.platform === "linux")
    assert.ok(!readFileSync(`/proc/${child.pid}/environ`, "utf8").includes("a-key-of-the-agent"));
  // By the end of its stdin it has read the second line too.
  child.stdin.end();
  assert.equal(await exited, 0);
  assert.equal(lines.filter(({ message }) => message === "listening").length, 1);
});

for (const [what, stop] of [
  ["SIGTERM", (child: ReturnType<typeof spawn>) => child.kill("SIGTERM")],
  ["the end of its stdin", (child: ReturnType<typeof spawn>) => child.stdin?.end()],
] as const) {
  test(`while it waits ${what} ends it with 0`, async (context) => {
    const { child, exited } = await startWaiting(context);
    stop(child);
    assert.equal(await exited, 0);
  });
}

test("a line that cannot be read ends it with 78, and no word of it is logged", async (context) => {
  const { child, exited, lines } = await startWaiting(context);
  child.stdin.write(`{"environment": {"TOKEN": "hush-hush"}, nonsense\n`);
  assert.equal(await exited, 78);
  assert.equal(lines.at(-1)?.metadata.reason, "INVALID_CONFIG");
  assert.ok(!JSON.stringify(lines).includes("hush"));
});

test("what is handed over must have an environment of texts", async () => {
  for (const line of ["null", "[]", '"text"', "{}", '{"environment": {"A": 1}}']) {
    const input = new PassThrough();
    const read = firstLine(input);
    input.write(`${line}\n`);
    await assert.rejects(read, /cannot be read/, line);
  }
});
