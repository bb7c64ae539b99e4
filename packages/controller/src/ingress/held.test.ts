import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, request } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { type TestContext, test } from "vitest";
import { systemClock } from "../clock.ts";
import { silentLog } from "../log.ts";
import type { Shown } from "./caller.ts";
import { Door, type DoorLimits, type Wake } from "./door.ts";
import { Endpoints } from "./endpoints.ts";
import { createIngress } from "./ingress.ts";

const KEY = `Bearer lp_${"k".repeat(43)}`;

/** An ingress in front of a sleeping agent, and what wakes it. */
async function rig(context: TestContext, more: { limits?: Partial<DoorLimits>; countsAsHop?: boolean } = {}) {
  const endpoints = new Endpoints();
  endpoints.know("agent-a");
  const wakes: Shown[] = [];
  const outcomes: string[] = [];
  let answer: Wake = { state: "waking" };
  let asleep = true;
  const steps = new EventEmitter();
  const door = new Door({
    wake: async (_, { shows }) => {
      wakes.push(shows);
      steps.emit("step");
      return answer;
    },
    isReady: (agentId) => endpoints.count(agentId) > 0,
    clock: systemClock,
    log: silentLog,
    ...(more.limits === undefined ? {} : { limits: more.limits }),
    onHeld: (outcome) => {
      outcomes.push(outcome);
      steps.emit("step");
    },
  });
  const hold = door.hold.bind(door);
  door.hold = (...args) => {
    const wait = hold(...args);
    steps.emit("step");
    return wait;
  };
  endpoints.onReady((agentId) => door.ready(agentId));
  const ingress = createIngress({
    endpoints,
    log: silentLog,
    door,
    isAsleep: () => asleep,
    countsAsHop: more.countsAsHop ?? true,
  });
  ingress.server.listen(0, "127.0.0.1");
  await once(ingress.server, "listening");
  context.onTestFinished(() => {
    door.stop();
    ingress.close();
  });
  const port = (ingress.server.address() as AddressInfo).port;
  const wakeUp = async (name = "r1", listener?: Parameters<typeof createServer>[1]) => {
    const server = createServer(listener ?? ((incoming, response) => incoming.pipe(response)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    asleep = false;
    endpoints.add("agent-a", name, (server.address() as AddressInfo).port, () =>
      endpoints.remove("agent-a", name),
    );
    return server;
  };
  const ask = (
    options: {
      method?: string;
      path?: string;
      body?: string;
      headers?: Record<string, string>;
      anonymous?: boolean;
    } = {},
  ) =>
    new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
      const call = request({
        host: "127.0.0.1",
        port,
        agent: false,
        method: options.method ?? "GET",
        path: options.path ?? "/",
        headers: {
          host: "agent-a.agents.localhost",
          ...(options.anonymous ? {} : { authorization: KEY }),
          ...options.headers,
        },
      });
      call.on("response", (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          body += chunk;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      });
      call.on("error", reject);
      call.end(options.body);
    });
  /** Resolves when a request came, ended or asked for a wake, and it is so. */
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await once(steps, "step");
  };
  const held = (count: number) => until(() => door.held + outcomes.length >= count);
  return {
    ask,
    door,
    endpoints,
    held,
    outcomes,
    port,
    until,
    wakes,
    wakeUp,
    answers: (next: Wake) => {
      answer = next;
    },
  };
}

test("a request to a sleeping agent waits, and arrives with its body", async (context) => {
  const { ask, held, wakeUp } = await rig(context);
  const open = ask({ method: "POST", path: "/message", body: '{"text":"hi"}' });
  await held(1);
  await wakeUp();
  const { body, status } = await open;
  assert.deepEqual([status, body], [200, '{"text":"hi"}']);
});

test("a thousand requests at once are one wake, and none is lost", async (context) => {
  const { ask, held, wakes, wakeUp } = await rig(context, { limits: { askMs: 30_000 } });
  const open = Array.from({ length: 1000 }, (_, index) => ask({ method: "POST", body: `body ${index}` }));
  await held(1000);
  assert.equal(wakes.length, 1);
  await wakeUp();
  const answers = await Promise.all(open);
  assert.ok(answers.every(({ body, status }, index) => status === 200 && body === `body ${index}`));
});

test("a large body waits at the client, not in this process, and arrives whole", async (context) => {
  const { held, port, wakeUp } = await rig(context);
  const size = 16 * 1024 * 1024;
  const call = request({
    host: "127.0.0.1",
    port,
    method: "POST",
    headers: { host: "agent-a.agents.localhost", authorization: KEY, "content-length": String(size) },
  });
  const before = process.memoryUsage().arrayBuffers;
  call.end(Buffer.alloc(size, "x"));
  await held(1);
  assert.ok(call.socket);
  // What has not left yet is the client's: the buffers of both kernels hold some megabytes at most.
  assert.ok(call.socket.writableLength > size / 4, `${call.socket.writableLength} bytes left to send`);
  assert.ok(process.memoryUsage().arrayBuffers - before < 2 * size);
  await wakeUp("r1", (incoming, response) => {
    let seen = 0;
    incoming.on("data", (chunk: Buffer) => {
      seen += chunk.length;
    });
    incoming.on("end", () => response.end(String(seen)));
  });
  const [answer] = (await once(call, "response")) as [import("node:http").IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  assert.equal(Buffer.concat(chunks).toString(), String(size));
});

test("a request that waits too long is 503 with the time to try again", async (context) => {
  const { ask, door } = await rig(context, { limits: { holdMs: 30 } });
  const { body, headers, status } = await ask();
  assert.deepEqual([status, JSON.parse(body).error.code, headers["retry-after"]], [503, "AGENT_WAKING", "5"]);
  assert.equal(door.held, 0);
});

test("a refused wake is the held caller's answer", async (context) => {
  const { answers, ask } = await rig(context);
  answers({ state: "refused", status: 402, code: "BUDGET_EXHAUSTED", message: "The budget is used up." });
  const { body, status } = await ask({ method: "POST", body: "x".repeat(100_000) });
  assert.deepEqual(
    [status, JSON.parse(body)],
    [402, { error: { code: "BUDGET_EXHAUSTED", message: "The budget is used up." } }],
  );
});

test("probes of a sleeping agent are answered without a wake", async (context) => {
  const { ask, wakes, wakeUp } = await rig(context);
  for (const path of ["/health", "/ready?x=1"]) {
    const { body, status } = await ask({ path });
    assert.deepEqual([status, JSON.parse(body)], [200, { status: "asleep" }]);
  }
  const metrics = await ask({ path: "/metrics" });
  assert.deepEqual([metrics.status, metrics.body], [200, "# The agent is asleep.\n"]);
  assert.equal((await ask({ method: "HEAD", path: "/health" })).status, 200);
  assert.deepEqual(wakes, []);
  await wakeUp("r1", (_, response) => response.end("its own"));
  assert.equal((await ask({ path: "/health" })).body, "its own");
});

test("what callers show goes on to whoever wakes: each is asked for, and refused alone", async (context) => {
  const { answers, ask, wakes } = await rig(context);
  const refused = { status: 401, code: "INVALID_API_KEY", message: "Show a key." };
  answers({ state: "refused", ofCaller: true, ...refused });
  const preflight = { origin: "https://app.example.com", "access-control-request-method": "POST" };
  for (const one of [
    ask({ headers: { "x-launchpad-signature": "v1=00" }, anonymous: true }),
    ask({ headers: { authorization: "Bearer whatever" } }),
    ask({ method: "OPTIONS", headers: preflight, anonymous: true }),
    ask({ headers: { authorization: "Bearer a.b.c" } }),
    ask(),
  ]) {
    const { body, status } = await one;
    assert.deepEqual([status, JSON.parse(body).error.code], [401, "INVALID_API_KEY"]);
  }
  assert.deepEqual([...new Set(wakes)].sort(), ["key", "nothing", "origin", "token"]);
});

test("a client that leaves while it waits is let go", async (context) => {
  const { door, held, outcomes, port, until } = await rig(context);
  const socket = connect(port, "127.0.0.1");
  socket.write("GET / HTTP/1.1\r\nhost: agent-a.agents.localhost\r\n\r\n");
  await held(1);
  socket.destroy();
  await until(() => outcomes.length > 0);
  assert.deepEqual([door.held, outcomes], [0, ["left"]]);
});

test("a replica that dies as it is handed out costs no request: the next one takes it", async (context) => {
  const { ask, endpoints, held, wakeUp } = await rig(context);
  const open = [ask({ method: "POST", body: "first" }), ask({ method: "POST", body: "second" })];
  await held(2);
  const dead = createTcpServer().listen(0, "127.0.0.1");
  await once(dead, "listening");
  const { port } = dead.address() as AddressInfo;
  dead.close();
  await once(dead, "close");
  const suspected = new Promise<void>((resolve) => {
    endpoints.add("agent-a", "dead", port, () => {
      endpoints.remove("agent-a", "dead");
      resolve();
    });
  });
  await suspected;
  await wakeUp();
  const answers = await Promise.all(open);
  assert.deepEqual(
    answers.map(({ body, status }) => [status, body]),
    [
      [200, "first"],
      [200, "second"],
    ],
  );
});

test("a replica that is called ready and cannot be reached is tried a few times, not for 30 seconds", async (context) => {
  const { ask, endpoints, held } = await rig(context);
  const open = ask({ method: "POST", body: "x" });
  await held(1);
  const dead = createTcpServer().listen(0, "127.0.0.1");
  await once(dead, "listening");
  const { port } = dead.address() as AddressInfo;
  dead.close();
  await once(dead, "close");
  let suspected = 0;
  endpoints.add("agent-a", "dead", port, () => {
    suspected += 1;
  });
  const { body, status } = await open;
  assert.deepEqual([status, JSON.parse(body).error.code], [502, "AGENT_UNREACHABLE"]);
  assert.ok(suspected > 0 && suspected <= 6, `${suspected} tries`);
});

test("whoever waits when the controller ends gets an answer", async (context) => {
  const { ask, door, held } = await rig(context);
  const open = ask();
  await held(1);
  door.stop();
  const { headers, status } = await open;
  assert.deepEqual([status, headers["retry-after"]], [503, "1"]);
});

test("a WebSocket waits too, with what it sent ahead", async (context) => {
  const { held, port, wakeUp } = await rig(context);
  const socket = connect(port, "127.0.0.1");
  socket.write(
    `GET /ws HTTP/1.1\r\nhost: agent-a.agents.localhost\r\nauthorization: ${KEY}\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\nearly`,
  );
  let text = "";
  const echoed = new Promise<void>((resolve) => {
    socket.on("data", (chunk) => {
      text += chunk.toString();
      if (text.endsWith("early and late")) resolve();
    });
  });
  await held(1);
  socket.write(" and late");
  const server = await wakeUp("r1");
  server.on("upgrade", (_incoming, upstream) => {
    upstream.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: Upgrade\r\n\r\n");
    upstream.pipe(upstream);
  });
  await echoed;
  assert.match(text, /^HTTP\/1\.1 101 /);
  socket.destroy();
});

test("a WebSocket's client that leaves is let go, one that is refused is told", async (context) => {
  const { answers, door, held, outcomes, port } = await rig(context);
  const head =
    "GET /ws HTTP/1.1\r\nhost: agent-a.agents.localhost\r\nconnection: Upgrade\r\nupgrade: e\r\n\r\n";
  const leaver = connect(port, "127.0.0.1");
  leaver.write(head);
  await held(1);
  leaver.end();
  await once(leaver, "close");
  assert.deepEqual([door.held, outcomes], [0, ["left"]]);
  answers({ state: "refused", status: 401, code: "INVALID_API_KEY", message: "Show a key." });
  const refused = connect(port, "127.0.0.1");
  refused.write(head);
  let text = "";
  refused.on("data", (chunk) => {
    text += chunk.toString();
  });
  await once(refused, "close");
  assert.match(text, /^HTTP\/1\.1 401 Unauthorized/);
  assert.match(text, /INVALID_API_KEY/);
});

test("behind a proxy that counts for this one too, the caller's address goes on as it was seen", async (context) => {
  const { ask, wakeUp } = await rig(context, { countsAsHop: false });
  await wakeUp("r1", (incoming, response) => response.end(incoming.headers["x-forwarded-for"]));
  const seen = await ask({ headers: { "x-forwarded-for": "203.0.113.7" } });
  assert.equal(seen.body, "203.0.113.7");
  assert.equal((await ask()).body, "127.0.0.1");
});
