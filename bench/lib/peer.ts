// The peer a user would pick: @elizaos/server, in its own process. Optional:
//   npm ci --prefix bench/peer --ignore-scripts --omit=optional
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ask } from "./load.ts";

/** Measured earlier, on the reference machine: medians in milliseconds. */
export const RECORDED = { read: 7, create: 16.5 };

const FOLDER = join(import.meta.dirname, "../peer");

export interface Peer {
  /** Milliseconds of one GET /api/agents. */
  read(): Promise<number>;
  /** Milliseconds of one POST /api/agents. */
  create(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts the peer with that many agents, where it is installed; undefined where it is not. */
export async function startPeer(agents: number, progress: (line: string) => void): Promise<Peer | undefined> {
  if (!existsSync(join(FOLDER, "node_modules/@elizaos/server/package.json"))) return undefined;
  const data = mkdtempSync(join(tmpdir(), "launchpad-bench-peer-"));
  const started = performance.now();
  const child = spawn(process.execPath, [join(FOLDER, "serve.mjs"), data], {
    cwd: data,
    env: {
      PATH: process.env.PATH,
      LOG_LEVEL: "error",
      SECRET_SALT: "bench",
      ELIZA_UI_ENABLE: "false",
      NODE_ENV: "production",
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const closed = once(child, "close");
  const agent = new Agent({ keepAlive: true });
  let names = 0;
  const stop = async () => {
    agent.destroy();
    child.kill("SIGKILL");
    await closed;
    rmSync(data, { recursive: true, force: true });
  };
  const port = await readPort(child.stdout);
  if (port === undefined) {
    await stop();
    progress("the peer did not start; its recorded figures are used");
    return undefined;
  }
  progress(`the peer is ready after ${Math.round(performance.now() - started)} ms`);
  const send = async (method: string, body?: unknown): Promise<number> => {
    const { status, text, took } = await ask(
      {
        url: `http://127.0.0.1:${port}/api/agents`,
        method,
        headers: { "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      },
      agent,
    );
    if (status > 299) throw new Error(`the peer answered ${status}: ${text.slice(0, 200)}`);
    return took;
  };
  const create = () =>
    send("POST", {
      characterJson: { name: `bench-${++names}`, bio: ["Answers quickly"], plugins: [], settings: {} },
    });
  for (let number = 0; number < agents; number++) await create();
  return { read: () => send("GET"), create, stop };
}

async function readPort(output: NodeJS.ReadableStream): Promise<number | undefined> {
  for await (const line of createInterface({ input: output })) {
    const found = /"peer":(\d+)/.exec(line)?.[1];
    if (found) return Number(found);
  }
  return undefined;
}
