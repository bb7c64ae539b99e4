// The bare runtime process, without stack or controller: what a launch is held against.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import {
  bundleRuntime,
  compileCacheDir,
  permittedCommand,
  programInUse,
} from "../../packages/agent-runtime/src/index.ts";
import { fillCompileCache } from "../../packages/controller/src/cluster/processes/compile-cache.ts";
import { AGENT } from "./stack.ts";

const PROBE_KEY = "p".repeat(64);

export interface BareStart {
  /** Milliseconds from spawn (and, restricted, from the making of its folders) until it says that it listens. */
  ready: number;
  /** Its resident bytes then. */
  resident: number;
}

/**
 * Starts and stops the program.
 * @param restricted under Node's permission model, as the controller runs it
 */
export async function startBareRuntime(settle = 0, restricted = false): Promise<BareStart> {
  await bundleRuntime();
  const folder = mkdtempSync(join(tmpdir(), "launchpad-bench-"));
  const configFile = join(folder, "agent.json");
  const stateDir = join(folder, "data");
  const cacheDir = join(folder, "cache");
  mkdirSync(stateDir);
  writeFileSync(
    configFile,
    JSON.stringify({ agentId: "agent-bench", name: "bench", framework: "openai", ...AGENT }),
  );
  const started = performance.now();
  if (restricted) fillCompileCache(compileCacheDir, cacheDir);
  const [program, ...args] = restricted
    ? permittedCommand({ configFile, stateDir, cacheDir })
    : [process.execPath, programInUse()];
  const child = spawn(program, args, {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: restricted ? cacheDir : compileCacheDir,
      AGENT_CONFIG_FILE: configFile,
      AGENT_STATE_DIR: stateDir,
      AGENT_PROBE_KEY: PROBE_KEY,
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
      const metrics = await (
        await fetch(`http://127.0.0.1:${metadata.port}/metrics`, {
          headers: { "x-launchpad-probe": PROBE_KEY },
        })
      ).text();
      return { ready, resident: Number(/^process_resident_memory_bytes (\d+)/m.exec(metrics)?.[1]) };
    }
    throw new Error("the runtime ended before it listened");
  } finally {
    child.kill("SIGKILL");
    await closed;
    rmSync(folder, { recursive: true, force: true });
  }
}
