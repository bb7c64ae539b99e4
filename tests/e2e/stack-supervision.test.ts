// The stack as a program: what it prints, how it ends, what it leaves (nothing), how it recovers.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, type TestContext, test } from "vitest";
import { launched } from "../helpers/agents.ts";
import { eventually, processes, stillRunning, tree } from "../helpers/processes.ts";
import { startProviderStub } from "../helpers/providers.ts";
import { type StackInfo, spawnStack, startTestStack } from "../helpers/stack.ts";

const healthOf = async (info: StackInfo) => {
  const { services } = (await (await fetch(`${info.apiUrl}/healthz`)).json()) as {
    services: Record<string, string>;
  };
  return services;
};

async function isOpen(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return false;
  } catch {
    return true;
  } finally {
    server.close();
  }
}

const portsOf = (info: StackInfo) =>
  [info.apiUrl, info.dbUrl, info.controllerUrl]
    .filter((url) => url !== "")
    .map((url) => Number(new URL(url).port));

async function scratch(t: Pick<TestContext, "onTestFinished">): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-e2e-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a stack that is expected not to come up; gives what it said and its exit code. */
async function failure(flags: Parameters<typeof spawnStack>[0]): Promise<{ code: number; said: string[] }> {
  const started = spawnStack(flags);
  const [code] = await once(started.process, "close");
  const said = started.stderr().trim().split("\n");
  return { code: Number(code), said: said.filter((line) => !/ ready \(/.test(line)) };
}

describe("an ephemeral stack", () => {
  test("--json is one line; Ctrl-C ends everything soon and leaves no process, port or file", async (t) => {
    const temporary = await scratch(t);
    const stack = await startTestStack({ env: { TMPDIR: temporary } });
    const root = stack.process?.pid ?? 0;
    assert.deepEqual(Object.keys(stack.info), [
      "apiUrl",
      "dbUrl",
      "publishableKey",
      "secretKey",
      "functionsUrl",
      "realtimeUrl",
      "storageUrl",
      "s3AccessKeyId",
      "s3SecretAccessKey",
      "mailboxUrl",
      "controllerUrl",
    ]);
    for (const [name, value] of Object.entries(stack.info)) assert.ok(value, `${name} is said`);
    assert.equal((await readdir(temporary)).length, 1);
    const all = tree(root);
    assert.ok(all.length >= 6, "the stack has its processes");

    const begun = performance.now();
    await stack.stop();
    assert.ok(performance.now() - begun < 20_000);
    assert.equal(stack.process?.exitCode, 0);
    assert.deepEqual(stillRunning(all), []);
    for (const port of portsOf(stack.info)) assert.equal(await isOpen(port), false, `port ${port}`);
    assert.deepEqual(await readdir(temporary), []);
  });

  test("a stack that is told to end while it starts ends, and leaves nothing", async (t) => {
    const temporary = await scratch(t);
    const started = spawnStack({ env: { TMPDIR: temporary } });
    const closed = once(started.process, "close");
    await eventually("something runs", () => tree(started.process.pid ?? 0).length > 2);
    const all = tree(started.process.pid ?? 0);
    started.process.kill("SIGTERM");
    await closed;
    await eventually("nothing of it runs", () => stillRunning(all).length === 0);
    await eventually("no file is left", async () => (await readdir(temporary)).length === 0);
  });

  test("the death of the program that started it ends it too", async (t) => {
    const temporary = await scratch(t);
    const stack = await startTestStack({ env: { TMPDIR: temporary } });
    assert.ok(stack.process);
    const exited = once(stack.process, "exit"); // "close" would wait for the channel that we close ourselves
    stack.process.disconnect();
    await exited;
    await stack.stop();
    assert.deepEqual(await readdir(temporary), []);
  });
});

describe("kill -9 of the stack", () => {
  test("leaves no process, and the next start on the same data recovers it", async (t) => {
    const dataDir = await scratch(t);
    const first = await startTestStack({ dataDir });
    const user = await first.createUser();
    const all = tree(first.process?.pid ?? 0);
    assert.ok(first.process);
    const closed = once(first.process, "close");
    first.process.kill("SIGKILL");
    await closed;

    // At once, while the guardian is still at work: the start waits for it.
    const second = await startTestStack({ dataDir });
    assert.deepEqual(stillRunning(all), []);
    assert.equal(second.info.publishableKey, first.info.publishableKey);
    const signedIn = await second
      .client()
      .auth.signInWithPassword({ email: user.email, password: user.password });
    assert.equal(signedIn.data.user?.id, user.id);
    await Promise.all([first.stop(), second.stop()]);
    assert.ok(!existsSync(join(dataDir, "lock")));
  });

  test("leaves no process either when the guardian was killed before; children restart meanwhile", async (t) => {
    const temporary = await scratch(t);
    const started = spawnStack({ env: { TMPDIR: temporary } });
    const info = await started.ready;
    const pid = started.process.pid ?? 0;
    const guardian = () => tree(pid).find(({ command }) => /guardian\.sh watch$/.test(command));
    const first = guardian();
    assert.ok(first);
    process.kill(first.pid, "SIGKILL");
    await eventually("another watches", () => guardian() && guardian()?.pid !== first.pid);
    const rest = tree(pid).find(({ command }) => /deno run .*serve\.ts/.test(command));
    process.kill(rest?.pid ?? 0, "SIGKILL");
    await eventually("the child ended", () => /function \w+ ended \(SIGKILL\)/.test(started.stderr()));
    await eventually("all run again", async () =>
      Object.values(await healthOf(info)).every((state) => state === "running"),
    );
    const all = tree(pid);
    const closed = once(started.process, "exit");
    started.process.kill("SIGKILL");
    await closed;
    await eventually("nothing of it runs", () => stillRunning(all).length === 0);
    await eventually("no file is left", async () => (await readdir(temporary)).length === 0);
  });

  test("of an ephemeral one: its folder goes too", async (t) => {
    const temporary = await scratch(t);
    const stack = await startTestStack({ env: { TMPDIR: temporary } });
    const all = tree(stack.process?.pid ?? 0);
    stack.process?.kill("SIGKILL");
    await eventually("nothing of it runs", () => stillRunning(all).length === 0);
    await eventually("no file is left", async () => (await readdir(temporary)).length === 0);
    await stack.stop();
  });
});

test("an ephemeral stack that is killed while it deletes its folder leaves nothing of it", async (t) => {
  const temporary = await scratch(t);
  const stack = await startTestStack({ env: { TMPDIR: temporary } });
  const [name = ""] = await readdir(temporary);
  const folder = join(temporary, name);
  // As many files as an installed engine has: deleting them takes long enough to be killed in the middle.
  for (let part = 0; part < 300; part += 1) {
    const files = join(folder, "controller", `many-${part}`);
    await mkdir(files);
    for (let file = 0; file < 100; file += 1) writeFileSync(join(files, `${file}`), "");
  }
  const exited = once(stack.process as ChildProcess, "exit");
  stack.process?.kill("SIGINT");
  // The first file that goes.
  while (existsSync(join(folder, "stack.json"))) await new Promise((resolve) => setImmediate(resolve));
  stack.process?.kill("SIGKILL");
  await exited;
  await eventually("no file is left", async () => (await readdir(temporary)).length === 0);
  await stack.stop();
});

describe("an agent with a message whose answer never comes", () => {
  for (const signal of ["SIGINT", "SIGKILL"] as const) {
    test(`does not outlive a stack that gets ${signal}`, async (t) => {
      const asked = Promise.withResolvers<void>();
      const provider = await startProviderStub(() => {
        asked.resolve();
        return new Promise<never>(() => {});
      });
      t.onTestFinished(() => provider.close());
      const temporary = await scratch(t);
      const stack = await startTestStack({ env: { TMPDIR: temporary, ...provider.environment } });
      assert.ok(stack.process);
      const user = await stack.createUser();
      const agentId = await launched(stack, user);
      const message = stack.agentFetch(agentId, "/message", {
        method: "POST",
        token: user.token,
        body: JSON.stringify({ text: "hi" }),
      });
      message.catch(() => {}); // it breaks off, as it should
      await asked.promise;
      const all = tree(stack.process.pid ?? 0);
      assert.ok(all.some(({ command }) => command.includes("agent-runtime")));
      const exited = once(stack.process, "exit");
      stack.process.kill(signal);
      await exited;
      await eventually("nothing of it runs", () => stillRunning(all).length === 0);
      await eventually("no file is left", async () => (await readdir(temporary)).length === 0);
      await stack.stop();
    });
  }
});

describe("a child that dies is started again, by name", () => {
  let started: ReturnType<typeof spawnStack>;
  let info: StackInfo;
  let temporary: string;
  beforeAll(async () => {
    temporary = await mkdtemp(join(tmpdir(), "launchpad-e2e-"));
    started = spawnStack({ env: { TMPDIR: temporary } });
    info = await started.ready;
  });
  afterAll(async () => {
    const closed = once(started.process, "close");
    started.process.kill("SIGINT");
    await closed;
    await rm(temporary, { recursive: true, force: true });
  });

  // The database comes last: all others connect to it again.
  for (const [service, pattern] of [
    ["rest", /\/postgrest$/],
    ["function api", /deno run .*serve\.ts/],
    ["controller", /controller\/src\/main\.ts$/],
    ["realtime", /local-supabase\/src\/realtime\/main\.ts$/],
    ["postgres", /bin\/postgres -D/],
  ] as const) {
    test(service, async () => {
      const find = () => tree(started.process.pid ?? 0).find(({ command }) => pattern.test(command));
      const victim = find();
      assert.ok(victim, `${service} runs`);
      process.kill(victim.pid, "SIGKILL");
      await eventually("the log names it", () => started.stderr().includes(`${service} ended (SIGKILL)`));
      await eventually("another runs", async () => {
        const heir = find();
        return heir && heir.pid !== victim.pid && (await healthOf(info))[service] === "running";
      });
      await eventually("the API answers", async () => {
        const answer = await fetch(`${info.apiUrl}/rest/v1/agents`, { headers: { apikey: info.secretKey } });
        await answer.arrayBuffer();
        return answer.status === 200;
      });
      await eventually("the function answers", async () => {
        const answer = await fetch(`${info.apiUrl}/api/agents`);
        await answer.arrayBuffer();
        return answer.status === 401;
      });
    });
  }
});

describe("what cannot work is said in one sentence, with exit code 1", () => {
  test("a taken gateway port", async (t) => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    t.onTestFinished(async () => {
      await holder.close();
    });
    const port = (holder.address() as { port: number }).port;
    const { code, said } = await failure({ port, env: { TMPDIR: await scratch(t) } });
    assert.equal(code, 1);
    assert.equal(said.length, 1, said.join("\n"));
    assert.match(said[0] ?? "", new RegExp(`Port ${port} .*--port`));
  });

  test("a taken database port", async (t) => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    t.onTestFinished(async () => {
      await holder.close();
    });
    const dbPort = (holder.address() as { port: number }).port;
    const { code, said } = await failure({ dbPort, env: { TMPDIR: await scratch(t) } });
    assert.equal(code, 1);
    assert.equal(said.length, 1, said.join("\n"));
    assert.match(said[0] ?? "", new RegExp(`Port ${dbPort} .*--db-port`));
  });

  test("a data folder that is a file, damaged keys, a damaged database", async (t) => {
    const folder = await scratch(t);
    await writeFile(join(folder, "file"), "");
    assert.match(
      (await failure({ dataDir: join(folder, "file") })).said.join("\n"),
      /^The data folder .* a file is in its place\.$/,
    );

    const dataDir = join(folder, "data");
    await (await startTestStack({ dataDir })).stop();
    assert.equal((await stat(join(dataDir, "keys.json"))).mode & 0o777, 0o600);
    const keys = await readFile(join(dataDir, "keys.json"));
    await writeFile(join(dataDir, "keys.json"), "{}");
    assert.match((await failure({ dataDir })).said.join("\n"), /^The keys in .* are damaged; [^\n]*$/);
    await writeFile(join(dataDir, "keys.json"), keys);

    await rm(join(dataDir, "postgres/data/global/pg_control"));
    const broken = await failure({ dataDir });
    assert.equal(broken.code, 1);
    assert.equal(broken.said.length, 1, broken.said.join("\n"));
  });

  test("a data folder that another stack uses", async (t) => {
    const dataDir = await scratch(t);
    const stack = await startTestStack({ dataDir });
    const { code, said } = await failure({ dataDir });
    await stack.stop();
    assert.equal(code, 1);
    assert.match(said.join("\n"), /^The data folder .* is used by another stack \(process \d+\)[^\n]*$/);
  });

  test("a wrong flag is exit code 2", async () => {
    const started = spawnStack({ port: -1 });
    const [code] = await once(started.process, "close");
    assert.equal(code, 2);
    assert.equal(started.stderr().trim().split("\n").length, 1);
  });
});

test("no process of these tests is left", async () => {
  await eventually(
    "nothing runs",
    () => !processes().some(({ command }) => command.includes("launchpad-e2e-")),
  );
});
