// Controllers as processes on a test cluster, with a whole project behind them: for what operators do to several of them.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openTerminal, type Ran } from "./cli.ts";
import { eventually } from "./processes.ts";
import { startTestStack, type TestStack } from "./stack.ts";

const ROOT = join(import.meta.dirname, "../..");

export interface RunningController {
  child: ChildProcess;
  log: string[];
  get(path: string): Promise<Response>;
  /** The value of a metric, with its labels as they are written; 0 where it is not there. */
  metric(name: string): Promise<number>;
  /** The name under which the database knows it. */
  worker: string;
  end(signal?: NodeJS.Signals): Promise<void>;
}

export interface Fleet {
  stack: TestStack;
  /** `launchpad fleet …` with the secret key, answered as JSON. */
  operate(...args: string[]): Promise<Ran>;
  start(env?: Record<string, string>): Promise<RunningController>;
  stop(): Promise<void>;
}

/**
 * A project whose own controller is drained, and which others serve.
 * @param kubeconfig what they reach the cluster by
 */
export async function startFleet(kubeconfig: string, settings: Record<string, string> = {}): Promise<Fleet> {
  const stack = await startTestStack();
  const folder = mkdtempSync(join(tmpdir(), "launchpad-fleet-"));
  const terminal = await openTerminal(stack.info);
  const operate = (...args: string[]) =>
    terminal.run(["fleet", ...args, "--json"], { env: { LAUNCHPAD_SECRET_KEY: stack.info.secretKey } });
  const running: RunningController[] = [];
  let started = 0;

  await stack.raiseRateLimits();
  const own = await eventually("the stack's own controller", async () => {
    const { controllers } = (await operate("status")).json;
    return (controllers as { worker: string; cluster: string }[]).find(
      ({ cluster }) => cluster === "processes",
    );
  });
  assert.equal((await operate("drain", own.worker)).code, 0);

  return {
    stack,
    operate,
    async start(env = {}) {
      started += 1;
      const child = spawn(process.execPath, [join(ROOT, "packages/controller/src/main.ts")], {
        env: {
          PATH: process.env.PATH ?? "",
          LAUNCHPAD_CLUSTER: "kubernetes",
          LAUNCHPAD_KUBECONFIG: kubeconfig,
          LAUNCHPAD_SUPABASE_URL: stack.info.apiUrl,
          LAUNCHPAD_SECRET_KEY: stack.info.secretKey,
          LAUNCHPAD_PUBLISHABLE_KEY: stack.info.publishableKey,
          LAUNCHPAD_WEBHOOK_SECRET: "a-webhook-secret-of-some-length",
          LAUNCHPAD_STATE_DIR: join(folder, `state-${started}`),
          LAUNCHPAD_HOST: "127.0.0.1",
          LAUNCHPAD_PORT: "0",
          LAUNCHPAD_INGRESS_PORT: "0",
          LAUNCHPAD_ADVISORY_URL: "off",
          LAUNCHPAD_POLL_SECONDS: "1",
          LAUNCHPAD_LEASE_SECONDS: "6",
          ...settings,
          ...env,
        },
        stdio: ["ignore", "pipe", "pipe"],
      });
      const log: string[] = [];
      createInterface(child.stderr).on("line", (line) => log.push(line));
      const line = once(createInterface(child.stdout), "line").then(([text]) => String(text));
      const said = await Promise.race([line, once(child, "exit").then(() => undefined)]);
      assert.ok(said, log.join("\n"));
      const { port } = JSON.parse(said) as { port: number };
      const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`);
      const { worker } = JSON.parse(log.find((text) => text.includes('"worker"')) ?? "{}") as {
        worker: string;
      };
      const controller: RunningController = {
        child,
        log,
        get,
        worker,
        async metric(name) {
          const lines = (await (await get("/metrics")).text()).split("\n");
          return Number(lines.find((text) => text.startsWith(`${name} `))?.slice(name.length + 1) ?? 0);
        },
        async end(signal = "SIGTERM") {
          if (child.exitCode !== null || child.signalCode !== null) return;
          const exited = once(child, "exit");
          child.kill(signal);
          await exited;
        },
      };
      running.push(controller);
      return controller;
    },
    async stop() {
      await Promise.all(running.map((one) => one.end("SIGKILL")));
      await terminal.remove();
      await stack.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
