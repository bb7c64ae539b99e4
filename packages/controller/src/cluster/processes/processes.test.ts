import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "vitest";
import { silentLog } from "../../log.ts";
import { FAKE_RUNTIME, lives, temporaryFolder, until, workloadOf } from "../../testing/temporary.ts";
import type { ObservedWorkload, ReplicaLog } from "../cluster.ts";
import { ProcessesCluster, type ProcessesOptions } from "./processes.ts";

async function cluster(context: TestContext, options: Partial<ProcessesOptions> = {}) {
  const stateDir = options.stateDir ?? temporaryFolder(context);
  const made = new ProcessesCluster({
    command: FAKE_RUNTIME,
    stateDir,
    log: silentLog,
    machineEnvironment: { PATH: process.env.PATH ?? "" },
    project: {
      url: "http://127.0.0.1:54321",
      key: "sb_publishable_test",
      probeSecret: "a-secret",
      proxyHops: 1,
    },
    providerEnvironment: { OPENAI_API_KEY: "provider-key", OPENAI_BASE_URL: "http://127.0.0.1:1" },
    restarts: { baseMs: 20, capMs: 2000, stableMs: 10_000 },
    probeMs: 100,
    graceMs: 2000,
    killMs: 500,
    ...options,
  });
  const lines: ReplicaLog[] = [];
  made.logs((line) => lines.push(line));
  await made.start();
  context.onTestFinished(() => made.stop());
  const ready = (count: number, generation?: number) =>
    until(`${count} replicas ready`, async () => {
      const seen = await made.get("agent-a");
      const good =
        seen?.replicas.length === count && seen.replicas.every((replica) => replica.state === "ready");
      return good && (generation === undefined || seen.generation === generation) && seen;
    });
  return { cluster: made, lines, ready, stateDir };
}

function names(seen: ObservedWorkload): string[] {
  return seen.replicas.map((replica) => replica.name);
}

async function ask(made: ProcessesCluster, path: string): Promise<Record<string, unknown>> {
  const endpoint = made.endpoints.pick("agent-a", new Set());
  assert.ok(endpoint, "a ready replica");
  const response = await fetch(`http://127.0.0.1:${endpoint.port}${path}`);
  return (await response.json()) as Record<string, unknown>;
}

test("a replica starts, is ready, has only what it needs, and goes without a trace", async (context) => {
  const { cluster: made, ready, stateDir } = await cluster(context);
  const environment = { SECRET: "of-the-agent", OPENAI_API_KEY: "own-key", NODE_OPTIONS: "--bad", PORT: "1" };
  await made.apply(workloadOf({ environment }));
  const [name] = names(await ready(1));
  assert.match(name ?? "", /^agent-a-[a-z2-7]{6}$/);

  const seen = await ask(made, "/environment");
  assert.equal(seen.SECRET, "of-the-agent");
  assert.equal(seen.OPENAI_API_KEY, "own-key");
  assert.equal(seen.OPENAI_BASE_URL, "http://127.0.0.1:1");
  assert.equal(seen.NODE_OPTIONS, "--max-old-space-size=192");
  assert.equal(seen.AGENT_REPLICA, name);
  assert.ok(!Object.keys(seen).some((variable) => variable.startsWith("LAUNCHPAD_")));
  const file = String(seen.AGENT_CONFIG_FILE);
  assert.equal(statSync(file).mode & 0o027, 0, "for this replica alone");

  const { pid } = await ask(made, "/");
  await made.remove("agent-a", false);
  await until("gone", async () => (await made.get("agent-a")) === undefined);
  assert.ok(!lives(Number(pid)));
  assert.ok(!existsSync(join(stateDir, "agents", "agent-a")));
});

test("the same generation again changes nothing; scaling keeps what runs", async (context) => {
  const { cluster: made, ready } = await cluster(context);
  await made.apply(workloadOf());
  const [first] = names(await ready(1));
  await made.apply(workloadOf());
  assert.deepEqual(names(await ready(1)), [first]);
  await made.apply(workloadOf({ generation: 2, replicas: 3 }));
  const three = names(await ready(3));
  assert.ok(three.includes(first ?? ""));
  await made.apply(workloadOf({ generation: 3, replicas: 2 }));
  const two = names(await ready(2));
  assert.ok(two.every((name) => three.includes(name)));
});

test("exit code 78 is final and speaks for itself", async (context) => {
  const { cluster: made } = await cluster(context);
  const settings = { exitCode: 78, exitReason: "PLUGIN_NOT_FOUND", exitMessage: "no plugin @x/y" };
  await made.apply(workloadOf({ settings }));
  const exit = await until("an exit", async () => (await made.get("agent-a"))?.replicas[0]?.exit);
  assert.deepEqual(
    [exit.code, exit.fatal, exit.reason, exit.message],
    [78, true, "PLUGIN_NOT_FOUND", "no plugin @x/y"],
  );
});

test("a replica that ends on its own starts again, under its name, and its failures are counted", async (context) => {
  const { cluster: made, lines, ready } = await cluster(context);
  await made.apply(workloadOf());
  const [name] = names(await ready(1));
  await ask(made, "/crash").catch(() => {});
  await until("an exit", async () => (await made.get("agent-a"))?.replicas[0]?.exit);
  const again = await ready(1);
  assert.deepEqual(names(again), [name]);
  assert.equal(again.replicas[0]?.failures, 1);
  assert.match(again.replicas[0]?.exit?.message ?? "", /code 1.*crashed on request/);
  const own = lines.filter((line) => line.source === "controller");
  assert.equal(own[0]?.metadata.reason, "CRASHED");
  assert.deepEqual(
    lines.map((line) => line.sequence),
    lines.map((_, index) => index + 1),
  );
});

test("a crash loop is told, and what runs of it ends with a revert", async (context) => {
  const { cluster: made } = await cluster(context);
  const workload = workloadOf({ settings: { exitCode: 1, exitMessage: "cannot go on" } });
  await made.apply(workload);
  const replica = await until("three failures", async () => {
    const seen = (await made.get("agent-a"))?.replicas[0];
    return seen !== undefined && seen.failures >= 3 && seen;
  });
  assert.match(replica.exit?.message ?? "", /cannot go on/);
  await made.revert(workload, { reason: "CRASH_LOOP", message: "x" });
  const rest = await until("nothing runs", async () => {
    const seen = await made.get("agent-a");
    return seen?.replicas.length === 0 && seen;
  });
  assert.equal(rest.failure?.reason, "CRASH_LOOP");
});

test("a failed update leaves the old replicas alone", async (context) => {
  const { cluster: made, ready } = await cluster(context);
  await made.apply(workloadOf({ replicas: 2 }));
  const before = names(await ready(2));
  const bad = workloadOf({ generation: 2, replicas: 2, settings: { neverReady: true } });
  await made.apply(bad);
  await until("a third starts", async () => (await made.get("agent-a"))?.replicas.length === 3);
  await made.revert(bad, { reason: "NEVER_READY", message: "x" });
  const after = await ready(2, 2);
  assert.deepEqual(names(after).sort(), before.sort());
});

test("after a new start of the cluster a failed generation falls back to the last complete workload", async (context) => {
  const first = await cluster(context);
  await first.cluster.apply(workloadOf({ replicas: 2 }));
  await first.ready(2);
  await first.cluster.stop();
  const second = await cluster(context, { stateDir: first.stateDir });
  const bad = workloadOf({ generation: 2, settings: { exitCode: 78 }, environment: { A: "b" } });
  await second.cluster.revert(bad, { reason: "PLUGIN_NOT_FOUND", message: "x" });
  const seen = await second.ready(2, 2);
  assert.equal(seen.template, workloadOf().template);
});

test("memory beyond the limit ends the replica as OOMKilled", async (context) => {
  const { cluster: made, ready } = await cluster(context);
  const memoryBytes = 160 * 1024 * 1024;
  const resources = { memory: "160Mi", cpu: "500m", memoryBytes, cpuMillicores: 500 };
  await made.apply(workloadOf({ spec: { resources } }));
  await ready(1);
  await ask(made, "/leak?mib=200").catch(() => {});
  const exit = await until("an exit", async () => (await made.get("agent-a"))?.replicas[0]?.exit);
  assert.equal(exit.reason, "OOMKilled");
  assert.match(exit.message, /of its 160 MiB/);
});

test("what does not end on SIGTERM is killed", async (context) => {
  const { cluster: made, ready } = await cluster(context);
  await made.apply(workloadOf({ settings: { ignoreStop: true } }));
  await ready(1);
  const { pid } = await ask(made, "/");
  await made.remove("agent-a", true);
  await until("gone", () => !lives(Number(pid)));
});

test("secrets do not reach the log, and providers' keys neither", async (context) => {
  const { cluster: made, lines, ready } = await cluster(context);
  await made.apply(workloadOf({ settings: { print: "SECRET" }, environment: { SECRET: "hush-hush" } }));
  await ready(1);
  const text = JSON.stringify(lines);
  assert.ok(text.includes("the value is ***"));
  assert.ok(!text.includes("hush-hush"));
});

test("a spawn that fails is an exit like any other", async (context) => {
  const { cluster: made } = await cluster(context, { command: ["/nonexistent/program"] });
  await made.apply(workloadOf());
  const exit = await until("an exit", async () => (await made.get("agent-a"))?.replicas[0]?.exit);
  assert.equal(exit.reason, "SPAWN_FAILED");
});

test("samples tell CPU, memory and requests", async (context) => {
  const { cluster: made, ready } = await cluster(context);
  await made.apply(workloadOf());
  await ready(1);
  await ask(made, "/");
  const [sample] = await made.metrics();
  assert.ok((sample?.cpuSeconds ?? 0) > 0);
  assert.ok((sample?.memoryBytes ?? 0) > 10_000_000);
  assert.equal(sample?.requests?.total, 1);
  assert.equal(sample?.networkIn, null);
});

test("a flood of one agent is cut to its share", async (context) => {
  const { cluster: made, lines, ready } = await cluster(context, { logLines: 20 });
  await made.apply(workloadOf({ settings: { flood: 5000 } }));
  await ready(1);
  await ask(made, "/");
  await until("the output was read", () => lines.length >= 20);
  assert.equal(lines.length, 20);
});
