import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { type TestContext, test } from "vitest";
import { silentLog } from "../log.ts";
import { Endpoints } from "./endpoints.ts";
import { agentOf } from "./headers.ts";
import { createIngress } from "./ingress.ts";

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

async function rig(context: TestContext) {
  const endpoints = new Endpoints();
  endpoints.know("agent-a");
  const ingress = createIngress({ endpoints, log: silentLog });
  ingress.server.listen(0, "127.0.0.1");
  await once(ingress.server, "listening");
  context.onTestFinished(() => ingress.close());
  const port = (ingress.server.address() as AddressInfo).port;

  const replica = async (name: string, listener?: Parameters<typeof createServer>[1]) => {
    const server = createServer(listener ?? ((_request, response) => response.end(name)));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.onTestFinished(() => close(server));
    endpoints.add("agent-a", name, (server.address() as AddressInfo).port, () => {});
    return server;
  };
  const ask = (
    options: {
      method?: string;
      body?: string;
      path?: string;
      host?: string;
      headers?: Record<string, string>;
    } = {},
  ) =>
    new Promise<Answer>((resolve, reject) => {
      const { body, host = "agent-a.agents.localhost:54321", method = "GET", path = "/" } = options;
      const call = request({
        host: "127.0.0.1",
        port,
        method,
        path,
        agent: false,
        headers: { host, ...options.headers },
      });
      call.on("response", (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        );
        response.on("error", reject);
      });
      call.on("error", reject);
      call.end(body);
    });
  return { ask, endpoints, port, replica };
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}

/** A port on which nobody listens. */
async function deadPort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("the host names the agent", () => {
  assert.equal(agentOf("agent-12ab.agents.localhost:54321"), "agent-12ab");
  assert.equal(agentOf("Agent-A.Agents.example.com"), "agent-a");
  for (const host of [undefined, "", "agents.localhost", "a.b.agents.x", "-a.agents.x", "localhost"]) {
    assert.equal(agentOf(host), undefined);
  }
});

test("unknown agents are 404, agents without a ready replica 503, both in JSON", async (context) => {
  const { ask } = await rig(context);
  const unknown = await ask({ host: "agent-x.agents.localhost" });
  assert.deepEqual([unknown.status, JSON.parse(unknown.body).error.code], [404, "AGENT_NOT_FOUND"]);
  const waiting = await ask();
  assert.deepEqual([waiting.status, JSON.parse(waiting.body).error.code], [503, "AGENT_NOT_READY"]);
  assert.equal(waiting.headers["retry-after"], "1");
});

test("requests go on as they came, without the headers of the connection", async (context) => {
  const { ask, replica } = await rig(context);
  await replica("r1", (incoming, response) => {
    let body = "";
    incoming.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    incoming.on("end", () => {
      response.writeHead(201, { "x-own": "yes", connection: "keep-alive" });
      response.end(
        JSON.stringify({ method: incoming.method, url: incoming.url, headers: incoming.headers, body }),
      );
    });
  });
  const headers = { connection: "x-private", "x-private": "1", "x-kept": "1", expect: "100-continue" };
  const answer = await ask({ method: "POST", path: "/message?x=1", body: '{"text":"hi"}', headers });
  assert.equal(answer.status, 201);
  assert.equal(answer.headers["x-own"], "yes");
  const seen = JSON.parse(answer.body);
  assert.deepEqual([seen.method, seen.url, seen.body], ["POST", "/message?x=1", '{"text":"hi"}']);
  assert.equal(seen.headers.host, "agent-a.agents.localhost:54321");
  assert.equal(seen.headers["x-kept"], "1");
  assert.equal(seen.headers["x-private"], undefined);
  assert.equal(seen.headers["x-forwarded-for"], "127.0.0.1");
  const chunked = await ask({ method: "POST", body: "abc", headers: { "transfer-encoding": "chunked" } });
  assert.equal(JSON.parse(chunked.body).body, "abc");
});

test("the replica with the fewest open requests is next, in turn among equals", async (context) => {
  const { ask, endpoints, replica } = await rig(context);
  for (const name of ["r1", "r2", "r3"]) await replica(name);
  const seen = new Set<string>();
  for (let time = 0; time < 6; time += 1) seen.add((await ask()).body);
  assert.equal(seen.size, 3);
  const busy = endpoints.pick("agent-a", new Set());
  assert.ok(busy);
  const release = endpoints.hold(busy);
  for (let time = 0; time < 6; time += 1) assert.notEqual((await ask()).body, busy.replica);
  release();
});

test("a request that reached nobody goes to another replica, with its body", async (context) => {
  const { ask, endpoints, replica } = await rig(context);
  let suspected = 0;
  for (const name of ["dead1", "dead2"]) {
    endpoints.add("agent-a", name, await deadPort(), () => {
      suspected += 1;
    });
  }
  await replica("alive", (incoming, response) => {
    incoming.pipe(response);
  });
  for (let time = 0; time < 4; time += 1) {
    assert.equal((await ask({ method: "POST", body: `body ${time}` })).body, `body ${time}`);
  }
  assert.ok(suspected > 0);
});

test("a broken exchange is tried again only when that is harmless", async (context) => {
  const { ask, replica } = await rig(context);
  await replica("breaks", (incoming) => {
    incoming.on("data", () => {});
    incoming.socket.destroy();
  });
  await replica("works");
  for (let time = 0; time < 4; time += 1) assert.equal((await ask()).body, "works");
  const statuses = new Set<number>();
  for (let time = 0; time < 4; time += 1) statuses.add((await ask({ method: "POST", body: "x" })).status);
  assert.deepEqual([...statuses].sort(), [200, 502]);
});

test("when nobody can be reached it says so", async (context) => {
  const { ask, endpoints } = await rig(context);
  endpoints.add("agent-a", "dead", await deadPort(), () => {});
  const answer = await ask();
  assert.deepEqual([answer.status, JSON.parse(answer.body).error.code], [502, "AGENT_UNREACHABLE"]);
});

test("an answer that breaks off breaks off for the caller", async (context) => {
  const { ask, replica } = await rig(context);
  await replica("r1", (_incoming, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write("half", () => response.destroy());
  });
  await assert.rejects(ask());
});

test("draining waits for what is open and lets nothing new in", async (context) => {
  const { ask, endpoints, replica } = await rig(context);
  let finish = () => {};
  const { promise: arrived, resolve } = Promise.withResolvers<void>();
  await replica("r1", (_incoming, response) => {
    finish = () => response.end("done");
    resolve();
  });
  const open = ask();
  await arrived;
  let drained = false;
  const draining = endpoints.drain("agent-a", "r1", 10_000).then(() => {
    drained = true;
  });
  assert.equal((await ask()).status, 503);
  assert.ok(!drained);
  finish();
  assert.equal((await open).body, "done");
  await draining;
});

test("a drain has its limit", async () => {
  const endpoints = new Endpoints();
  endpoints.add("agent-a", "r1", 1, () => {});
  const endpoint = endpoints.pick("agent-a", new Set());
  assert.ok(endpoint);
  endpoints.hold(endpoint);
  const alive = setInterval(() => {}, 1000);
  await endpoints.drain("agent-a", "r1", 20);
  clearInterval(alive);
});

test("open requests are counted across a time of not being ready", async () => {
  const endpoints = new Endpoints();
  endpoints.add("agent-a", "r1", 1, () => {});
  const endpoint = endpoints.pick("agent-a", new Set());
  assert.ok(endpoint);
  const release = endpoints.hold(endpoint);
  endpoints.remove("agent-a", "r1");
  endpoints.add("agent-a", "r1", 1, () => {});
  let drained = false;
  const draining = endpoints.drain("agent-a", "r1", 10_000).then(() => {
    drained = true;
  });
  await Promise.resolve();
  assert.ok(!drained);
  release();
  await draining;
});

test("an offer of HTTP/2 is passed over, and the request goes on with its body", async (context) => {
  const { ask, replica } = await rig(context);
  await replica("r1", (incoming, response) => incoming.pipe(response));
  const headers = {
    connection: "Upgrade, HTTP2-Settings",
    upgrade: "h2c",
    "http2-settings": "AAMAAABkAAQAAP__",
  };
  const { status, body } = await ask({ method: "POST", body: "said", headers });
  assert.deepEqual([status, body], [200, "said"]);
});

test("WebSockets go through, and a refused upgrade is told", async (context) => {
  const { endpoints, port, replica } = await rig(context);
  endpoints.add("agent-a", "dead", await deadPort(), () => {});
  const server = await replica("r1", (_incoming, response) => response.writeHead(426).end("no"));
  server.on("upgrade", (_incoming, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: Upgrade\r\n\r\n");
    socket.pipe(socket);
  });
  const talk = (host: string, then?: string) =>
    new Promise<string>((resolve) => {
      const socket = connect(port, "127.0.0.1");
      let text = "";
      socket.write(`GET /ws HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n`);
      socket.on("data", (chunk) => {
        text += chunk.toString();
        if (then !== undefined && text.endsWith("\r\n\r\n")) socket.write(then);
        else if (then === undefined || text.endsWith(then)) socket.destroy();
      });
      socket.on("close", () => resolve(text));
    });
  for (let time = 0; time < 3; time += 1) {
    const text = await talk("agent-a.agents.localhost", "hello");
    assert.match(text, /^HTTP\/1\.1 101 /);
    assert.ok(text.endsWith("hello"));
  }
  assert.match(await talk("agent-x.agents.localhost"), /^HTTP\/1\.1 404 /);
});

test("a client that leaves before its upgrade is answered holds the replica no longer", async (context) => {
  const { endpoints, port, replica } = await rig(context);
  const server = await replica("r1", () => {});
  const asked = once(server, "upgrade");
  const socket = connect(port, "127.0.0.1");
  socket.write(
    "GET /ws HTTP/1.1\r\nhost: agent-a.agents.localhost\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n",
  );
  const [, upstream] = await asked;
  socket.destroy();
  upstream.resume();
  await once(upstream, "end");
  await endpoints.drain("agent-a", "r1", 2 ** 31 - 1);
});

test("an answer instead of an upgrade is readable, and breaks off where the replica's does", async (context) => {
  const { port, replica } = await rig(context);
  await replica("r1", (incoming, response) => {
    response.writeHead(426, { "content-type": "text/plain" });
    response.write("no, ", () => {
      if (incoming.url === "/whole") response.end("thanks");
      else response.destroy();
    });
  });
  const ask = (path: string) =>
    new Promise<unknown[]>((resolve, reject) => {
      const call = request({
        host: "127.0.0.1",
        port,
        path,
        headers: { host: "agent-a.agents.localhost", connection: "Upgrade", upgrade: "echo" },
      });
      // A connection that is reset is told to the request, and ends the body.
      call.on("error", reject);
      call.on("response", (response) => {
        let body = "";
        response.on("data", (part) => {
          body += part;
        });
        response.on("end", () => resolve([response.statusCode, response.headers.connection, body]));
      });
      call.end();
    });
  assert.deepEqual(await ask("/whole"), [426, "close", "no, thanks"]);
  await assert.rejects(ask("/broken"));
});
