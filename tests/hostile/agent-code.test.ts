// Code inside an agent: two users' agents run a plugin that tries everything within reach of a process.
import assert from "node:assert/strict";
import { existsSync, readlinkSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { replicaAccounts } from "../../packages/controller/src/cluster/processes/accounts.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { launched } from "../helpers/agents.ts";
import { eventually } from "../helpers/processes.ts";
import { replicas } from "../helpers/replicas.ts";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

const ROOT = join(import.meta.dirname, "../..");
const CODE = join(ROOT, "tests/helpers/hostile-code.mjs");
/** Where an operator installs plugins of the model engine. */
const MODULES = join(ROOT, "packages/agent-runtime/node_modules");
const PLUGIN = `launchpad-hostile-${process.pid}`;
/** Whether this machine lets the stack give agents accounts of their own. */
const accounts = replicaAccounts([process.execPath, CODE, tmpdir()], silentLog) !== undefined;

const refusedByNode = "ERR_ACCESS_DENIED";

beforeAll(async () => {
  await mkdir(join(MODULES, PLUGIN), { recursive: true });
  await writeFile(
    join(MODULES, PLUGIN, "package.json"),
    JSON.stringify({ name: PLUGIN, version: "1.0.0", type: "module", exports: "./index.mjs" }),
  );
  await copyFile(CODE, join(MODULES, PLUGIN, "index.mjs"));
});
afterAll(() => rm(join(MODULES, PLUGIN), { recursive: true, force: true }));

/** The folder of a stack's data, and the process of its controller: both as its agents could find them. */
async function whereabouts(stack: TestStack): Promise<{ dataDir: string; controller: number }> {
  const [row] = await stack.sql<{ folder: string }>("select current_setting('data_directory') as folder");
  const dataDir = join(row?.folder ?? "", "../..");
  const lock = JSON.parse(await readText(join(dataDir, "controller/controller.lock"))) as { pid: number };
  return { dataDir, controller: lock.pid };
}

/** Where an agent's replica has its files: beside the agent's, or with the runtimes that wait, where it was one of them. */
function folderOf(stack: TestStack, agentId: string): string {
  const replica = replicas(stack.process?.pid ?? 0).find((one) => one.agentId === agentId);
  assert.ok(replica, "its process is found");
  return join(readlinkSync(`/proc/${replica.pid}/cwd`), "..");
}

const readText = (file: string) => readFile(file, "utf8");

/** Launches an agent whose code tries these targets; gives the outcomes that its log tells. */
async function tried(
  stack: TestStack,
  targets: Record<string, unknown[]>,
  definition: Record<string, unknown>,
): Promise<{ agentId: string; outcomes: Record<string, string> }> {
  const user = await stack.createUser();
  const agentId = await launched(stack, user, {
    ...definition,
    environment: { TARGETS: JSON.stringify(targets) },
  });
  const outcomes = await eventually("the log tells what was tried", async () => {
    const [row] = await stack.sql<{ metadata: Record<string, string> }>(
      "select metadata from public.agent_logs where agent_id = $1 and message = 'tried'",
      [agentId],
    );
    return row?.metadata;
  });
  return { agentId, outcomes };
}

describe("a plugin under Node's permission model", () => {
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startTestStack();
    await stack.raiseRateLimits();
    await stack.sql("insert into private.plugin_rules (pattern) values ($1)", [PLUGIN]);
  });
  afterAll(() => stack.stop());

  test("reads no file but its own, starts nothing, writes its own folder alone", async () => {
    const { dataDir, controller } = await whereabouts(stack);
    const victim = await launched(stack, await stack.createUser());
    const [agents, pool] = ["agents", "pool"].map((name) => join(dataDir, "controller", name)) as [
      string,
      string,
    ];
    const foreign = folderOf(stack, victim);
    const waiting = await eventually("a runtime waits", async () => {
      const folders = (await readdir(pool)).map((name) => join(pool, name));
      return folders.some((folder) => folder !== foreign) ? folders : undefined;
    });
    // A debugger of the controller would be everybody's on this machine.
    process.kill(controller, "SIGUSR1");
    if (stack.process) stack.process.kill("SIGUSR1");
    await assert.rejects(fetch("http://127.0.0.1:9229/json/version"));
    const read = [
      "/etc/passwd",
      join(dataDir, "keys.json"),
      join(foreign, "agent.json"),
      ...waiting.map((folder) => join(folder, "process.json")),
      `/proc/${controller}/environ`,
      "/proc/self/environ",
      join(ROOT, "package-lock.json"),
    ];
    const write = [
      join(foreign, "data/x"),
      ...waiting.flatMap((folder) => [join(folder, "data/x"), join(folder, "cache/x")]),
      join(ROOT, "packages/agent-runtime/src/main.ts"),
      join(ROOT, "packages/agent-runtime/dist/main.mjs"),
      "/tmp/launchpad-x",
    ];
    const list = [dataDir, agents, pool, "/"];
    const { agentId, outcomes } = await tried(stack, { read, write, list }, { plugins: [PLUGIN] });
    const { "own folder": own, "module that passes the model": module, ...rest } = outcomes;
    // One of those that waited is this agent's now.
    const allowed = `write ${join(folderOf(stack, agentId), "data/x")}`;
    assert.equal(own, "done");
    assert.equal(module, "not there");
    assert.deepEqual(
      Object.entries(rest).filter(([what, result]) => result !== refusedByNode && what !== allowed),
      [],
    );
    assert.equal(Object.keys(rest).length, read.length + write.length + list.length + 6);
  });

  test("a replica's folders are closed, and what it may read it may not change", async () => {
    const { dataDir } = await whereabouts(stack);
    const folderOfNew = async (environment: Record<string, string>) =>
      folderOf(stack, await launched(stack, await stack.createUser(), { environment }));
    const waited = (folder: string) => folder.startsWith(join(dataDir, "controller/pool/"));
    const warm = await eventually("an agent gets a runtime that waited", async () => {
      const folder = await folderOfNew({});
      return waited(folder) ? folder : undefined;
    });
    // From the beginning: such a variable is read when a process starts.
    const cold = await folderOfNew({ TZ: "UTC" });
    assert.ok(!waited(cold));
    for (const folder of [warm, cold]) {
      const modeOf = async (name: string) => (await stat(join(folder, name))).mode & 0o777;
      assert.equal(await modeOf("data"), 0o700);
      assert.equal((await modeOf("process.json")) & 0o077, 0);
    }
    assert.ok(!existsSync(join(warm, "agent.json")), "it is handed over, not written down");
    assert.equal((await stat(join(cold, "agent.json"))).mode & 0o027, 0);
    const [keys, folder] = await Promise.all([stat(join(dataDir, "keys.json")), stat(dataDir)]);
    assert.equal(keys.mode & 0o077, 0);
    assert.equal(folder.mode & 0o066, 0, "no other account lists the data folder");
  });
});

describe("a program in place of the runtime, without Node's permission model", { skip: !accounts }, () => {
  let stack: TestStack;
  beforeAll(async () => {
    const command = JSON.stringify([process.execPath, CODE, "as-runtime"]);
    stack = await startTestStack({ env: { LAUNCHPAD_RUNTIME_COMMAND: command } });
    await stack.raiseRateLimits();
  });
  afterAll(() => stack.stop());

  test("its account keeps it from secrets, other agents' files and their processes", async () => {
    const { dataDir, controller } = await whereabouts(stack);
    const first = await tried(stack, {}, {});
    const agent = join(dataDir, "controller/agents", first.agentId);
    const [replica = ""] = (await readdir(agent)).filter((name) => name.startsWith(first.agentId));
    const { pid } = JSON.parse(await readText(join(agent, replica, "process.json"))) as { pid: number };
    const read = [
      join(dataDir, "keys.json"),
      join(agent, replica, "agent.json"),
      join(agent, replica, "process.json"),
      `/proc/${controller}/environ`,
      `/proc/${pid}/environ`,
    ];
    const list = [dataDir, agent, join(agent, replica, "data"), join(dataDir, "controller/spool")];
    const write = [
      join(agent, replica, "data/x"),
      join(dataDir, "x"),
      join(ROOT, "packages/agent-runtime/src/main.ts"),
      join(ROOT, "packages/agent-runtime/dist/main.mjs"),
    ];
    const { outcomes } = await tried(stack, { read, list, write, signal: [pid, controller] }, {});
    for (const kind of ["read", "list", "write", "signal"]) {
      const of = Object.entries(outcomes).filter(([name]) => name.startsWith(`${kind} `));
      assert.ok(of.length > 0, kind);
      for (const [name, result] of of) assert.match(result, /^(EACCES|EPERM|ENOENT)$/, name);
    }
    assert.equal(outcomes["own folder"], "done");
    assert.notEqual((await stat(join(agent, replica, "data"))).uid, 0);
  });
});
