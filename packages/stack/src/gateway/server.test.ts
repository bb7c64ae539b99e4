// The gateway of a project with what Agent Launchpad adds to it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Address } from "@agent-launchpad/local-supabase/gateway/proxy.ts";
import { type Gateway, startGateway } from "@agent-launchpad/local-supabase/gateway/server.ts";
import { generateKeys } from "@agent-launchpad/local-supabase/keys.ts";
import { createMailbox } from "@agent-launchpad/local-supabase/mailbox/mailbox.ts";
import { afterAll, beforeAll, test } from "vitest";
import { createGatewayExtension } from "./extension.ts";

const keys = generateKeys();
let upstream: Server;
let gateway: Gateway;
let down = false;
const seen: IncomingMessage[] = [];
/** What the gateway asked of functions of the database. */
const called: { name: string; args: Record<string, unknown> }[] = [];
let locked = false;

/** The upstream of these tests: says what it got, and stands in for the database's own functions. */
beforeAll(async () => {
  upstream = createServer((request, response) => {
    const rpc = /^\/rpc\/(\w+)$/.exec(request.url ?? "")?.[1];
    if (rpc === undefined) seen.push(request);
    if (request.url === "/page") response.setHeader("set-cookie", "a=b");
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    request.on("end", () => {
      if (rpc === undefined) {
        response.end(JSON.stringify({ method: request.method, url: request.url, size: body.length }));
        return;
      }
      called.push({ name: rpc, args: JSON.parse(body) });
      if (rpc === "count_auth_request") response.end(JSON.stringify({ limit: 9, remaining: 7, reset: 0 }));
      else response.end(JSON.stringify({ locked, retry_after: locked ? 60 : 0 }));
    });
  });
  upstream.on("upgrade", (_request, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n");
    socket.on("data", (data: Buffer) => socket.write(`echo ${data}`));
    socket.on("end", () => socket.end());
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const address = (): Address | undefined =>
    down ? undefined : { host: "127.0.0.1", port: (upstream.address() as AddressInfo).port };
  gateway = await startGateway(0, {
    keys,
    mailbox: createMailbox(),
    rest: address,
    platform: () => async () =>
      Response.json({ code: 400, error_code: "invalid_credentials", msg: "Invalid" }, { status: 400 }),
    functions: (name) => (["api", "hello"].includes(name) ? address() : "unknown"),
    health: () => ({}),
    extension: createGatewayExtension({ keys, rest: address, agents: address }),
  });
});
afterAll(async () => {
  await gateway.close();
  upstream.close();
  upstream.closeAllConnections();
});

const ask = (path: string, init: RequestInit = {}) =>
  fetch(gateway.url + path, { ...init, headers: { apikey: keys.publishableKey, ...init.headers } });

const lastSeen = () => seen.at(-1) ?? assert.fail("nothing reached the upstream");

test("a password is checked behind the counter and the lockout of its address, and not when locked", async () => {
  const signIn = () =>
    ask("/auth/v1/token?grant_type=password", {
      method: "POST",
      body: JSON.stringify({ email: " A@example.com", password: "wrong" }),
    });
  const wrong = await signIn();
  assert.deepEqual([wrong.status, wrong.headers.get("supabase-auth-rate-limit")], [400, "7"]);
  assert.deepEqual(
    called.splice(0).map(({ name, args }) => `${name} ${args.email}`),
    ["begin_sign_in a@example.com", "count_auth_request a@example.com", "record_auth_attempt a@example.com"],
  );
  locked = true;
  const refused = await signIn();
  locked = false;
  assert.equal(refused.status, 429);
  assert.deepEqual(
    called.splice(0).map(({ name }) => name),
    ["begin_sign_in"],
  );
});

test("an agent answers below the gateway's host as a stranger, on a host of its own as itself", async () => {
  const below = await ask("/agents/agent-1/page");
  assert.equal(lastSeen().headers.host, "agent-1.agents.localhost");
  assert.equal(below.headers.get("set-cookie"), null);
  assert.match(below.headers.get("content-security-policy") ?? "", /sandbox/);
  assert.equal(below.headers.get("access-control-allow-origin"), null);
});

test("the page at / names the API and its reference", async () => {
  const home = (await (await ask("/")).json()) as { name: string; links: { href: string }[] };
  assert.equal(home.name, "Agent Launchpad");
  assert.deepEqual(
    home.links.map(({ href }) => href),
    ["/api", "/docs", "/api/openapi.json", "/mailbox", "/healthz"],
  );
});

test("paths of agents and of /api may have any name in them", async () => {
  for (const path of ["/api/agents/a%2Fb", "/agents/agent-1/a%5Cb"]) {
    assert.equal((await ask(path)).status, 200, path);
    assert.ok(path.endsWith(lastSeen().url?.split("/").at(-1) ?? "?"), path);
  }
  assert.equal((await ask("/docs/a%2Fb")).status, 400);
});

test("an unreadable path below /api is refused in its error form, elsewhere not", async () => {
  const refused = async (path: string) => await (await ask(path)).json();
  const { error } = (await refused("/api/a%2Fb/%41")) as { error: Record<string, unknown> };
  assert.equal(error.code, "VALIDATION_ERROR");
  assert.ok(error.details);
  assert.equal(((await refused("/rest/v1/%41")) as { code: string }).code, "VALIDATION_ERROR");
});

test("the function api gets one readable token, or none; others read the header themselves", async () => {
  await ask("/api/agents", { headers: { authorization: "bearer   own" } });
  assert.equal(lastSeen().headers.authorization, "Bearer own");
  const reached = seen.length;
  for (const authorization of ["Basic eDp5", "Bearer a b", "own"]) {
    const answer = await ask("/api/agents", { headers: { authorization } });
    assert.equal(answer.status, 401, authorization);
    assert.equal(((await answer.json()) as { error: { code: string } }).error.code, "INVALID_JWT_TOKEN");
  }
  assert.equal(seen.length, reached);
  await ask("/functions/v1/hello", { headers: { authorization: "Basic eDp5" } });
  assert.equal(lastSeen().headers.authorization, "Basic eDp5");
});

test("the API reference is a page with its own files, and nothing else of the package", async () => {
  const page = await (await fetch(`${gateway.url}/docs`)).text();
  const files = [...page.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map(([, path]) => path);
  assert.equal(files.length, 3);
  for (const file of files) {
    const answer = await fetch(gateway.url + file);
    assert.equal(answer.status, 200, file);
    assert.match(answer.headers.get("content-type") ?? "", /css|javascript/);
    assert.ok((await answer.arrayBuffer()).byteLength > 100);
  }
  for (const other of ["/docs/package.json", "/docs/constructor"]) {
    assert.equal((await fetch(gateway.url + other)).status, 404, other);
  }
});

test("an unknown key reaches a function, which judges it, and not api", async () => {
  const headers = { apikey: "sb_publishable_of-another" };
  assert.equal((await ask("/functions/v1/hello", { headers })).status, 200);
  assert.equal(lastSeen().headers.apikey, headers.apikey);
  assert.equal((await ask("/api/agents", { headers })).status, 401);
});

test("what is down is 503, for /api in its error form with rate-limit headers", async (t) => {
  down = true;
  t.onTestFinished(() => {
    down = false;
  });
  const api = await ask("/api/agents", { headers: { "x-request-id": "req-7" } });
  assert.equal(api.status, 503);
  const { error } = (await api.json()) as { error: Record<string, unknown> };
  assert.equal(error.code, "SUPABASE_CONNECTION_ERROR");
  assert.equal(error.requestId, "req-7");
  assert.equal(api.headers.get("x-ratelimit-limit"), "0");
  const agent = await ask("/agents/agent-1/x");
  assert.equal(agent.status, 503);
  assert.equal(((await agent.json()) as { error: { code: string } }).error.code, "AGENT_UNAVAILABLE");
});

/** Opens a WebSocket by hand; gives the first line of the answer and the raw socket. */
async function handshake(
  path: string,
  host: string,
): Promise<{ head: string; socket: ReturnType<typeof connect> }> {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  socket.write(
    `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n`,
  );
  const [data] = (await once(socket, "data")) as [Buffer];
  return { head: data.toString(), socket };
}

test("an offer of HTTP/2 to an agent is passed over, and the request itself answered, body and all", async () => {
  const { hostname, port } = new URL(gateway.url);
  for (const [path, host] of [
    ["/agents/agent-1/x", "localhost"],
    ["/x", "agent-1.agents.localhost"],
  ]) {
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: ${host}\r\napikey: ${keys.publishableKey}\r\nconnection: Upgrade, HTTP2-Settings\r\n` +
        "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\ncontent-length: 4\r\n\r\nbody",
    );
    const [answer] = (await once(socket.setEncoding("utf8"), "data")) as [string];
    socket.destroy();
    assert.match(answer, /^HTTP\/1\.1 200 [\s\S]*"method":"POST","url":"\/x","size":4/);
  }
});

test("a WebSocket passes through to an agent, both ways, and ends on both sides", async () => {
  const { head, socket } = await handshake("/chat?a=1", "agent-1.agents.localhost");
  assert.match(head, /^HTTP\/1\.1 101 /);
  socket.write("hi");
  assert.equal(String((await once(socket, "data"))[0]), "echo hi");
  socket.end();
  await once(socket, "close");
});
