// The bare runtime process, without stack or controller: what a launch is held against.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { compileCacheDir, runtimeProgram } from "../../packages/agent-runtime/src/index.ts";
import { AGENT } from "./stack.ts";

/**
 * Starts the program and ends it.
 * @returns milliseconds from spawn until it says that it listens, and its resident bytes then
 */
export async function startBareRuntime(settle = 0): Promise<{ ready: number; resident: number }> {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-bench-"));
  const file = join(folder, "agent.json");
  writeFileSync(
    file,
    JSON.stringify({ agentId: "agent-bench", name: "bench", framework: "openai", ...AGENT }),
  );
  const started = performance.now();
  const child = spawn(process.execPath, [runtimeProgram], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: compileCacheDir,
      AGENT_CONFIG_FILE: file,
      AGENT_STATE_DIR: folder,
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { message, metadata } = JSON.parse(line) as { message: string; metadata: { port: number } };
      if (message !== "listening") continue;
      const ready = performance.now() - started;
      await new Promise((resolve) => setTimeout(resolve, settle));
      const metrics = await (await fetch(`http://127.0.0.1:${metadata.port}/metrics`)).text();
      return { ready, resident: Number(/^process_resident_memory_bytes (\d+)/m.exec(metrics)?.[1]) };
    }
    throw new Error("the runtime ended before it listened");
  } finally {
    child.kill("SIGKILL");
    await closed;
    rmSync(folder, { recursive: true, force: true });
  }
}
