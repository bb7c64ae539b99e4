import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import { type Child, startChild } from "./child.ts";
import { startGuardian } from "./guardian.ts";
import { groupExists, isRunning, startTimeOf } from "./process-table.ts";

const HERE = import.meta.dirname;

// The stack of these tests: a process that starts children of every stubbornness and says their ids.
const STACK = `
  import { startGuardian } from "./guardian.ts";
  import { startChild } from "./child.ts";
  const guardian = startGuardian((pid) => console.log(pid));
  if (process.argv[1]) guardian.removeAfterwards(process.argv[1]);
  const sh = (script, order) => startChild({
    name: "sh", command: "/bin/sh", args: ["-c", script], env: { PATH: process.env.PATH }, cwd: "/", order,
    stop: [{ signal: "SIGTERM", graceMs: 100 }], onLine: (line) => line === "up" && up(),
  }, guardian);
  let ups = 0;
  const children = [];
  const up = () => { if (++ups === 3) console.log(JSON.stringify([guardian.pid, ...children.map((child) => child.pid)])); };
  children.push(sh("echo up; exec sleep 1000", "first"));
  children.push(sh("trap '' TERM INT; echo up; while :; do sleep 1; done", "first"));
  children.push(sh("trap 'exit 0' INT; echo up; while :; do sleep 0.05; done", "last"));
`;

async function stackWithChildren(folder = ""): Promise<{
  kill: () => void;
  ids: number[];
  /** The id of the guardian after the first. */
  replaced: Promise<number>;
}> {
  const stack = spawn(process.execPath, ["--input-type=module-typescript", "-e", STACK, folder], {
    cwd: HERE,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = createInterface({ input: stack.stdout });
  const [line] = await once(lines, "line");
  const replaced = once(lines, "line").then(([pid]) => Number(pid));
  replaced.catch(() => {});
  return { kill: () => stack.kill("SIGKILL"), ids: JSON.parse(line), replaced };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 20) {
    assert.ok(waited < 60_000, `never: ${what}`);
    await sleep(20);
  }
}

test("kill -9 of the stack leaves no process, no grandchild and no temporary folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "local-supabase-guardian-"));
  const { kill, ids } = await stackWithChildren(folder);
  assert.ok(ids.every((id) => groupExists(id)));
  kill();
  await until("all ended", () => ids.every((id) => !groupExists(id)));
  await until("the folder is gone", () => !existsSync(folder));
});

test("a guardian that dies is replaced; the stack's later death still leaves no process", async () => {
  const folder = await mkdtemp(join(tmpdir(), "local-supabase-guardian-"));
  const { kill, ids, replaced } = await stackWithChildren(folder);
  const [guardian = 0, ...children] = ids;
  process.kill(guardian, "SIGKILL");
  const heir = await replaced;
  assert.notEqual(heir, guardian);
  assert.ok(children.every((id) => groupExists(id)));
  kill();
  await until("all ended", () => [heir, ...children].every((id) => !groupExists(id)));
  await until("the folder is gone", () => !existsSync(folder));
});

test("a child can be started after the guardian died, and is watched over", async () => {
  const replaced: number[] = [];
  const guardian = startGuardian((pid) => replaced.push(pid));
  process.kill(guardian.pid, "SIGKILL");
  await until("another watches", () => replaced.length > 0);
  assert.deepEqual(replaced, [guardian.pid]);
  const child = startSleep(guardian);
  const command = () => execFileSync("ps", ["-o", "comm=", "-p", String(child.pid)], { encoding: "utf8" });
  await until("it has registered and become its command", () => command().trim().endsWith("sleep"));
  guardian.pipe.end(); // as if the stack had died
  await until("the child ended", () => !groupExists(child.pid));
  await guardian.release();
});

test("a released guardian ends nothing", async () => {
  const guardian = startGuardian();
  const child = startSleep(guardian);
  await until("registered and running", () => child.pid > 0 && startTimeOf(child.pid) !== undefined);
  await guardian.release();
  assert.ok(groupExists(child.pid));
  await child.stop();
  assert.ok(!groupExists(child.pid));
});

test("a process id that another process has got since is left alone", async () => {
  const stranger = spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
  const guardian = startGuardian();
  guardian.pipe.write(`add first ${stranger.pid} 1\n`);
  guardian.pipe.end(); // as if the stack had died
  await until("the guardian has ended", () => !groupExists(guardian.pid));
  assert.equal(stranger.exitCode ?? stranger.signalCode, null);
  stranger.kill("SIGKILL");
  await once(stranger, "exit");
});

test("stop ends a child that ignores the polite signals, and its own children", async () => {
  const guardian = startGuardian();
  const { promise: up, resolve } = Promise.withResolvers<void>();
  const child = startChild(
    {
      name: "stubborn",
      command: "/bin/sh",
      args: ["-c", "trap '' TERM; sleep 1000 & echo up; wait"],
      env: { PATH: process.env.PATH ?? "" },
      cwd: "/",
      stop: [{ signal: "SIGTERM", graceMs: 50 }],
      onLine: () => resolve(),
    },
    guardian,
  );
  await up;
  await child.stop();
  assert.ok(!groupExists(child.pid));
  assert.deepEqual(await child.exited, { code: null, signal: "SIGKILL" });
  await guardian.release();
});

test("a command that does not exist is an exit with a reason", async () => {
  const guardian = startGuardian();
  const lines: string[] = [];
  const child = startChild(
    {
      name: "missing",
      command: "/nonexistent/program",
      args: [],
      env: {},
      cwd: "/",
      stop: [],
      onLine: (line) => void lines.push(line),
    },
    guardian,
  );
  assert.equal((await child.exited).code, 127);
  await guardian.release();
});

test("start times tell a process from another with its id", () => {
  const start = startTimeOf(process.pid);
  assert.ok(start);
  assert.ok(isRunning({ pid: process.pid, start }));
  assert.ok(!isRunning({ pid: process.pid, start: "1" }));
});

function startSleep(guardian: ReturnType<typeof startGuardian>): Child {
  const spec = {
    name: "sleep",
    command: "sleep",
    args: ["1000"],
    env: { PATH: process.env.PATH ?? "" },
    cwd: "/",
  };
  return startChild({ ...spec, stop: [{ signal: "SIGTERM", graceMs: 1000 }], onLine: () => {} }, guardian);
}
