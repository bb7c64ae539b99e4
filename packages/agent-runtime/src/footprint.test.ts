// What an idle agent costs, with a key and until its first message, against a bare HTTP server of Node's beside it. Of time it is what both
// need of a core, since a test shares the machine.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { startProviderStub } from "../../../tests/helpers/providers.ts";
import { bundleRuntime } from "./bundle.ts";
import { compileCacheDir } from "./paths.ts";
import { startAgent } from "./testing/agent.ts";
import { warmCompileCache } from "./warm.ts";

const BARE = `require("node:http").createServer((_, answer) => answer.end()).listen(0, "127.0.0.1", () => console.log("listening"))`;

/** Bytes that a process has for itself alone, its resident bytes, and what it has used of a core. */
function costOf(pid: number): { own: number; resident: number; coreMs: number } {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const bytes = (name: string) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1]);
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]),
  );
  const coreMs = threads.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e6;
  return { own: bytes("Private_Dirty"), resident: bytes("Rss"), coreMs };
}

async function bareServer(): Promise<ReturnType<typeof costOf>> {
  const child = spawn(process.execPath, ["--eval", BARE], {
    env: { MALLOC_ARENA_MAX: "1", NODE_COMPILE_CACHE: compileCacheDir },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  try {
    await once(child.stdout, "data");
    return costOf(child.pid as number);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

test("an idle agent with a key takes little more than a bare server", {
  skip: process.platform !== "linux",
}, async (t) => {
  // As the controller does before the first replica.
  await bundleRuntime();
  const scratch = mkdtempSync(join(tmpdir(), "agent-warm-"));
  t.onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
  await warmCompileCache(t.signal, join(scratch, "state"));
  await using stub = await startProviderStub();
  for (const framework of ["openai", "anthropic", "google"]) {
    const more: ReturnType<typeof costOf>[] = [];
    let core = Number.POSITIVE_INFINITY;
    for (let round = 0; round < 3; round++) {
      const bare = await bareServer();
      await using agent = await startAgent({
        config: { framework },
        environment: { ...stub.environment, MALLOC_ARENA_MAX: "1" },
      });
      const cost = costOf(agent.process.pid as number);
      core = Math.min(core, cost.coreMs / bare.coreMs);
      more.push({ ...cost, own: cost.own - bare.own, resident: cost.resident - bare.resident });
    }
    const least = (key: "own" | "resident") => Math.min(...more.map((one) => one[key]));
    const said = `${(least("own") / 1e6).toFixed(1)} MB of its own and ${(least("resident") / 1e6).toFixed(1)} MB resident more`;
    console.info(`${framework}: ${said}, ${core.toFixed(2)} of its time`);
    // Measured: 3.2 MB, 7.7 MB and 1.6. With the AI SDK loaded the first two are three times that.
    assert.ok(least("own") < 5e6, `${framework}: ${said}`);
    assert.ok(least("resident") < 11e6, `${framework}: ${said}`);
    assert.ok(core < 2.6, `${framework}: ${core} of a bare server's time`);
  }
});
