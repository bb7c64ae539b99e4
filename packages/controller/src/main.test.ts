import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { request } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { sign } from "@agent-launchpad/agent-runtime";
import { type TestContext, test } from "vitest";
import { startTlsFront, whyNoTlsFront } from "../../../tests/helpers/tls-front.ts";
import { systemClock } from "./clock.ts";
import { serveDatabase } from "./testing/http-database.ts";
import { MemoryDatabase, specOf } from "./testing/memory-database.ts";
import { FAKE_RUNTIME, lives, temporaryFolder, until } from "./testing/temporary.ts";

const loopback = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
const hasIPv6 = loopback.some(({ address }) => address === "::1");
const SECRET = "a-webhook-secret-of-some-length";

interface Running {
  child: ChildProcess;
  port: number;
  ingressPort: number;
  log: string[];
}

async function world(context: TestContext) {
  const database = new MemoryDatabase(systemClock);
  const http = await serveDatabase(database);
  const children: ChildProcess[] = [];
  // First the controllers, then what they use: hooks run in the order in which they are given.
  context.onTestFinished(async () => {
    await Promise.all(children.map(end));
  });
  context.onTestFinished(() => http.close());
  const stateDir = temporaryFolder(context);
  const start = async (extra: Record<string, string> = {}) => {
    const running = await startController(context, http.url, stateDir, extra);
    children.push(running.child);
    return running;
  };
  return { database, http, stateDir, start };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}

/** Starts the real process; resolves when it says that it is ready, rejects with its log when it ends before. */
async function startController(
  context: TestContext,
  url: string,
  stateDir: string,
  extra: Record<string, string>,
): Promise<Running> {
  const child = spawn(process.execPath, [resolve(import.meta.dirname, "main.ts")], {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      PATH: process.env.PATH,
      LAUNCHPAD_SUPABASE_URL: url,
      LAUNCHPAD_SECRET_KEY: "sb_secret_for-tests",
      LAUNCHPAD_PUBLISHABLE_KEY: "sb_publishable_for-tests",
      LAUNCHPAD_WEBHOOK_SECRET: SECRET,
      LAUNCHPAD_STATE_DIR: stateDir,
      LAUNCHPAD_PORT: "0",
      LAUNCHPAD_INGRESS_PORT: "0",
      LAUNCHPAD_POLL_SECONDS: "0.5",
      LAUNCHPAD_LEASE_SECONDS: "3",
      LAUNCHPAD_METRICS_SECONDS: "0.3",
      LAUNCHPAD_CRASH_LIMIT: "3",
      LAUNCHPAD_GRACE_SECONDS: "2",
      LAUNCHPAD_RUNTIME_COMMAND: JSON.stringify(FAKE_RUNTIME),
      ...extra,
    },
  });
  context.onTestFinished(() => end(child));
  const log: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
  const ready = new Promise<Running>((done, fail) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const said = JSON.parse(line) as { event: string; port: number; ingressPort: number };
      if (said.event === "ready") done({ child, port: said.port, ingressPort: said.ingressPort, log });
    });
    child.on("exit", (code) => fail(new Error(`ended with ${code}: ${log.join("\n")}`)));
  });
  return await ready;
}

async function hint(port: number, body: unknown, host = "127.0.0.1"): Promise<number> {
  const text = JSON.stringify(body);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const headers = {
    "content-type": "application/json",
    "x-launchpad-timestamp": timestamp,
    "x-launchpad-signature": sign(SECRET, timestamp, text),
  };
  return (await fetch(`http://${host}:${port}/webhooks/deployments`, { method: "POST", headers, body: text }))
    .status;
}

/** One request to an agent through the ingress. */
function ask(ingressPort: number, agentId: string, path = "/"): Promise<{ status: number; body: string }> {
  return new Promise((done, fail) => {
    const headers = { host: `${agentId}.agents.localhost` };
    const call = request(
      { host: "127.0.0.1", port: ingressPort, path, headers, agent: false },
      (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("end", () => done({ status: response.statusCode ?? 0, body }));
        response.on("error", fail);
      },
    );
    call.on("error", fail).end();
  });
}

function deployed(database: MemoryDatabase, agentId: string, ready: number): Promise<unknown> {
  return until(`${agentId} deployed with ${ready}`, () => {
    const row = database.row(agentId);
    return (
      row.phase === "DEPLOYED" && row.observedGeneration === row.generation && row.readyReplicas === ready
    );
  });
}

test("from launch to deletion, on a hint, with telemetry", async (context) => {
  const { database, start, stateDir } = await world(context);
  const controller = await start({ LAUNCHPAD_POLL_SECONDS: "60", LAUNCHPAD_LEASE_SECONDS: "60" });
  await until(
    "connected",
    async () => (await fetch(`http://127.0.0.1:${controller.port}/readyz`)).status === 200,
  );

  const began = performance.now();
  database.environments.set("agent-a", { TOKEN: "very-secret" });
  database.launch("agent-a", specOf({ settings: { print: "TOKEN" } }), 2);
  assert.equal(await hint(controller.port, { agentId: "agent-a", generation: 1, reason: "queued" }), 202);
  await deployed(database, "agent-a", 2);
  console.info(`launch to DEPLOYED: ${Math.round(performance.now() - began)} ms`);
  const row = database.row("agent-a");
  assert.equal(row.application?.status, "HEALTHY");
  assert.deepEqual(database.transitions, ["agent-a:1:DEPLOYING", "agent-a:1:DEPLOYED"]);

  const { status, body } = await ask(controller.ingressPort, "agent-a");
  assert.equal(status, 200);
  assert.equal((await ask(controller.ingressPort, "agent-b")).status, 404);

  await until("logs", () => [...database.logs.values()].some((line) => line.includes("the value is ***")));
  assert.ok(![...database.logs.values()].some((line) => line.includes("very-secret")));
  await until("metrics", () => database.metrics.size >= 4);
  const sample = JSON.parse([...database.metrics.values()].at(-1) ?? "{}");
  assert.ok(sample.memoryUsage > 1_000_000 && sample.cpuUsage !== null);

  const text = await (await fetch(`http://127.0.0.1:${controller.port}/metrics`)).text();
  assert.match(text, /launchpad_replicas\{state="ready"\} 2/);
  assert.match(text, /launchpad_phases_total\{phase="DEPLOYED"\} 1/);

  database.delete("agent-a");
  await hint(controller.port, { agentId: "agent-a", generation: 2 });
  await until("deleted", () => database.row("agent-a").phase === "DELETED");
  assert.ok(!lives(Number(JSON.parse(body).pid)));
  assert.deepEqual(readdirSync(join(stateDir, "agents")), []);
  assert.ok(
    !controller.log.some((line) => line.includes("very-secret") || line.includes("sb_secret_for-tests")),
  );
});

test("an update and a restart under load lose no request", async (context) => {
  const { database, start } = await world(context);
  const controller = await start();
  database.launch("agent-a", specOf(), 2);
  await hint(controller.port, {});
  await deployed(database, "agent-a", 2);

  let going = true;
  const statuses = new Map<number, number>();
  const revisions = new Set<number>();
  const caller = async () => {
    while (going) {
      const { status, body } = await ask(controller.ingressPort, "agent-a", "/slow?ms=20");
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status === 200) revisions.add(JSON.parse(body).revision);
    }
  };
  const callers = Array.from({ length: 4 }, caller);
  database.update("agent-a", { systemPrompt: "new" });
  await hint(controller.port, {});
  await deployed(database, "agent-a", 2);
  database.restart("agent-a");
  await hint(controller.port, {});
  await deployed(database, "agent-a", 2);
  database.scale("agent-a", 1);
  await hint(controller.port, {});
  await deployed(database, "agent-a", 1);
  going = false;
  await Promise.all(callers);
  assert.deepEqual([...statuses.keys()], [200], JSON.stringify([...statuses]));
  assert.deepEqual([...revisions].sort(), [1, 2]);
});

test("a missing plugin and a crash loop fail with their reason; the update before keeps serving", async (context) => {
  const { database, start } = await world(context);
  const controller = await start();
  const plugin = {
    exitCode: 78,
    exitReason: "PLUGIN_NOT_FOUND",
    exitMessage: "plugin @x/y is not installed",
  };
  database.launch("agent-a", specOf({ settings: plugin }));
  database.launch("agent-b", specOf());
  await hint(controller.port, {});
  await until("failed", () => database.row("agent-a").phase === "FAILED");
  assert.equal(database.row("agent-a").reason, "PLUGIN_NOT_FOUND");
  assert.equal(database.row("agent-a").message, "plugin @x/y is not installed");

  await deployed(database, "agent-b", 1);
  database.update("agent-b", { settings: { exitCode: 3, exitMessage: "cannot open the diary" } });
  await until("failed", () => database.row("agent-b").phase === "FAILED");
  assert.equal(database.row("agent-b").reason, "CRASH_LOOP");
  assert.match(database.row("agent-b").message ?? "", /cannot open the diary/);
  const { body, status } = await ask(controller.ingressPort, "agent-b");
  assert.deepEqual([status, JSON.parse(body).revision], [200, 1]);
});

test("kill -9 leaves no process; the next start brings everything back once", async (context) => {
  const { database, start } = await world(context);
  const first = await start();
  for (const agentId of ["agent-a", "agent-b"]) database.launch(agentId, specOf(), 2);
  database.launch("agent-c", specOf({ settings: { ignoreStop: true } }));
  await hint(first.port, {});
  for (const agentId of ["agent-a", "agent-b"]) await deployed(database, agentId, 2);
  await deployed(database, "agent-c", 1);
  const pids: number[] = [];
  for (const agentId of ["agent-a", "agent-b", "agent-c"]) {
    pids.push(JSON.parse((await ask(first.ingressPort, agentId)).body).pid);
  }
  first.child.kill("SIGKILL");
  await once(first.child, "exit");
  await until("they end by themselves", () => !lives(pids[0] ?? 0) && !lives(pids[1] ?? 0));
  assert.ok(lives(pids[2] ?? 0), "this one ignores everything");

  const second = await start();
  assert.ok(!lives(pids[2] ?? 0), "ended before anything else is done");
  await until("all are back", async () => {
    const text = await (await fetch(`http://127.0.0.1:${second.port}/metrics`)).text();
    return text.includes('launchpad_replicas{state="ready"} 5');
  });
  for (const agentId of ["agent-a", "agent-b", "agent-c"]) {
    assert.equal((await ask(second.ingressPort, agentId)).status, 200);
    assert.equal(database.row(agentId).phase, "DEPLOYED");
  }
});

test("the end of stdin and SIGTERM stop it in order, and give the leases back", async (context) => {
  const { database, start, stateDir } = await world(context);
  for (const how of ["stdin", "SIGTERM"] as const) {
    const controller = await start();
    if (how === "stdin") database.launch("agent-a", specOf());
    await hint(controller.port, {});
    const pid = await until("it answers", async () => {
      const { body, status } = await ask(controller.ingressPort, "agent-a");
      return status === 200 && (JSON.parse(body).pid as number);
    });
    if (how === "stdin") controller.child.stdin?.end();
    else controller.child.kill("SIGTERM");
    const [code] = (await once(controller.child, "exit")) as [number];
    assert.equal(code, 0, controller.log.join("\n"));
    assert.ok(!lives(pid));
    assert.equal(database.row("agent-a").holder, undefined);
    assert.ok(!existsSync(join(stateDir, "controller.lock")));
  }
});

test("a database that hangs does not hold up the stop", async (context) => {
  const { database, http, start } = await world(context);
  const controller = await start();
  database.launch("agent-a", specOf());
  await hint(controller.port, {});
  await deployed(database, "agent-a", 1);
  http.server.removeAllListeners("request");
  database.scale("agent-a", 2);
  await hint(controller.port, {});
  const began = performance.now();
  controller.child.kill("SIGTERM");
  const ended = once(controller.child, "exit");
  // Until it has ended it says that it is not ready, and takes what still comes.
  const problems = await until("it is not ready", async () => {
    const answer = await fetch(`http://127.0.0.1:${controller.port}/readyz`);
    return answer.status === 503 && ((await answer.json()) as { problems: string[] }).problems;
  });
  assert.ok(problems.includes("The controller is stopping."), problems.join());
  await hint(controller.port, {});
  await ended;
  assert.ok(performance.now() - began < 15_000, "a call to the database may take a minute");
});

test("two controllers never share a state directory", async (context) => {
  const { start } = await world(context);
  await start();
  await assert.rejects(start(), /Another controller \(process \d+\) uses/);
});

test("LAUNCHPAD_HOST=:: is reached by both protocols", async (context) => {
  const { start } = await world(context);
  const { port } = await start({ LAUNCHPAD_HOST: "::" });
  for (const [family, host] of [
    ["IPv4", "127.0.0.1"],
    ["IPv6", "[::1]"],
  ] as const) {
    if (!loopback.some((one) => one.internal && one.family === family)) continue;
    const answer = await fetch(`http://${host}:${port}/healthz`);
    assert.equal(answer.status, 200, host);
    await answer.body?.cancel();
  }
});

test("IPv6 alone: the project, the controller's own port and a webhook at ::1", {
  skip: !hasIPv6,
}, async (context) => {
  const { http, stateDir } = await world(context);
  const { port } = new URL(http.url);
  const front = createTcpServer((near) => {
    const far = connect(Number(port), "127.0.0.1");
    near.pipe(far).pipe(near);
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
  }).listen(0, "::1");
  context.onTestFinished(async () => {
    await front.close();
  });
  await once(front, "listening");
  const project = `http://[::1]:${(front.address() as AddressInfo).port}`;
  const running = await startController(context, project, stateDir, { LAUNCHPAD_HOST: "::1" });
  await until("the database has answered", async () => {
    const answer = await fetch(`http://[::1]:${running.port}/readyz`);
    await answer.body?.cancel();
    return answer.status === 200;
  });
  assert.equal(await hint(running.port, { agentId: "nobody" }, "[::1]"), 202);
});

test("a project with a private certificate: ready with its authority, and a reason without", {
  skip: whyNoTlsFront !== undefined,
}, async (context) => {
  const { http, stateDir } = await world(context);
  await using front = await startTlsFront(http.url);
  const trusting = await startController(context, front.url, stateDir, { NODE_EXTRA_CA_CERTS: front.ca });
  await until("the database has answered", async () => {
    const answer = await fetch(`http://127.0.0.1:${trusting.port}/readyz`);
    await answer.body?.cancel();
    return answer.status === 200;
  });
  trusting.child.kill("SIGTERM");
  await once(trusting.child, "exit");
  const distrusting = await startController(context, front.url, stateDir, {});
  await until("the log says why", () =>
    distrusting.log.some((line) => /self-signed certificate|unable to verify/i.test(line)),
  );
});

test("wrong settings are named, their values are not", async (context) => {
  const { start } = await world(context);
  const wrong = start({ LAUNCHPAD_WEBHOOK_SECRET: "short", LAUNCHPAD_PORT: "many" });
  await assert.rejects(wrong, (error: Error) => {
    assert.match(error.message, /LAUNCHPAD_WEBHOOK_SECRET.*LAUNCHPAD_PORT/);
    assert.ok(!error.message.includes('"short"'));
    return true;
  });
});

test("a wrong key is named with its setting; the controller stays, and works once the key does", async (context) => {
  const { http, start } = await world(context);
  http.key = "sb_secret_another";
  const controller = await start();
  const readiness = async () => {
    const answer = await fetch(`http://127.0.0.1:${controller.port}/readyz`);
    return { status: answer.status, ...((await answer.json()) as { problems: string[] }) };
  };
  const { problems } = await until("the key is refused", async () => {
    const seen = await readiness();
    return seen.problems.some((problem) => problem.includes("LAUNCHPAD_SECRET_KEY")) && seen;
  });
  assert.equal(problems.length, 1, problems.join());
  assert.equal((await readiness()).status, 503);
  const told = controller.log.filter((line) => line.includes("LAUNCHPAD_SECRET_KEY"));
  assert.equal(told.length, 1, "it is said once, not at every try");
  assert.match(told[0] ?? "", /"level":"ERROR".*401 Invalid API key/i);
  http.key = "sb_secret_for-tests";
  await until("ready", async () => (await readiness()).status === 200);
});

test("agents serve on while the database is down, and nothing of their logs is lost", async (context) => {
  const { database, http, start } = await world(context);
  const controller = await start();
  database.launch("agent-a", specOf());
  await hint(controller.port, {});
  await deployed(database, "agent-a", 1);
  http.up = false;
  await ask(controller.ingressPort, "agent-a", "/crash").catch(() => {});
  await until(
    "it is back by itself",
    async () => (await ask(controller.ingressPort, "agent-a")).status === 200,
  );
  await until("the lease has run out", async () =>
    (await (await fetch(`http://127.0.0.1:${controller.port}/metrics`)).text()).includes(
      "launchpad_lease_lapsed 1",
    ),
  );
  assert.equal((await fetch(`http://127.0.0.1:${controller.port}/readyz`)).status, 503);
  database.scale("agent-a", 2);
  http.up = true;
  await deployed(database, "agent-a", 2);
  await until("logs", () => [...database.logs.values()].some((line) => line.includes("crashed on request")));
  const sequences = [...database.logs.values()]
    .map((line) => JSON.parse(line))
    .filter((line) => line.agentId === "agent-a");
  const byReplica = Map.groupBy(sequences, (line) => line.replica as string);
  for (const lines of byReplica.values()) {
    assert.deepEqual(
      lines.map((line) => line.sequence).sort((a, b) => a - b),
      lines.map((_, index) => index + 1),
    );
  }
});

test("on the state folder of another database: not ready, one error with the cure, nothing claimed; then right again", async (context) => {
  const { database, start } = await world(context);
  database.launch("agent-a", specOf());
  const first = await start();
  await deployed(database, "agent-a", 1);
  first.child.kill("SIGTERM");
  await once(first.child, "exit");

  database.id = "another";
  const second = await start();
  const readyz = async () => {
    const answer = await fetch(`http://127.0.0.1:${second.port}/readyz`);
    return { status: answer.status, text: await answer.text() };
  };
  await until("it says whose the folder is", async () =>
    (await readyz()).text.includes("fleet adopt simulated"),
  );
  assert.equal((await readyz()).status, 503);
  assert.ok(![...database.rows.values()].some(({ holder }) => holder !== undefined), "nothing is claimed");
  const metrics = await (await fetch(`http://127.0.0.1:${second.port}/metrics`)).text();
  assert.match(metrics, /^launchpad_foreign_database(\{.*\})? 1$/m);
  assert.equal(second.log.filter((line) => line.includes('"level":"error"')).length, 1);

  database.id = "simulated";
  await deployed(database, "agent-a", 1);
  await until("it is ready", async () => (await readyz()).status === 200);
});
