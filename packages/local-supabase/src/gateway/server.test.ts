import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, test } from "vitest";
import { generateKeys } from "../keys.ts";
import { createMailbox } from "../mailbox/mailbox.ts";
import { createRoleTokens, roleOfToken } from "../tokens.ts";
import type { Address } from "./proxy.ts";
import { type Gateway, startGateway } from "./server.ts";

const keys = generateKeys();
let upstream: Server;
let gateway: Gateway;
let down = false;
const seen: IncomingMessage[] = [];

/** The upstream of these tests: says what it got, or does what the path says. */
beforeAll(async () => {
  upstream = createServer((request, response) => {
    seen.push(request);
    if (request.url === "/break") {
      response.writeHead(200, { "content-length": "100" });
      response.write("half");
      return void setImmediate(() => response.destroy());
    }
    if (request.url === "/early") return void response.writeHead(413).end("{}");
    if (request.url === "/hang-up") return void request.socket.destroy();
    if (request.url === "/cors") response.setHeader("access-control-allow-origin", "https://own.example");
    if (request.url?.startsWith("/echo-location"))
      response.setHeader("content-location", request.url.repeat(2));
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
    });
    request.on("end", () => response.end(JSON.stringify({ method: request.method, url: request.url, size })));
  });
  upstream.on("upgrade", (request, socket) => {
    if (request.url?.includes("refuse"))
      return void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
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
    platform: () =>
      down ? undefined : async (request) => new Response(request.headers.get("authorization")),
    storage: () =>
      down
        ? undefined
        : {
            handle: async (_request, response, { authorization }) => void response.end(authorization),
            isHealthy: async () => true,
            stop: async () => {},
          },
    functions: (name) =>
      name === "broken" ? "boot error" : ["hello", "guarded"].includes(name) ? address() : "unknown",
    verifiesTokens: (name) => name === "guarded",
    health: () => ({ rest: down ? "restarting" : "running" }),
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

test("the upstream gets a token of the key's role, and the true address of the client", async () => {
  await ask("/rest/v1/agents?select=*", {
    headers: {
      "x-forwarded-for": "6.6.6.6",
      "x-forwarded-host": "evil",
      forwarded: "for=6.6.6.6",
      "x-request-id": "r1",
    },
  });
  const { url, headers } = lastSeen();
  assert.equal(url, "/agents?select=*");
  assert.equal(roleOfToken(headers.authorization?.slice(7) ?? "", keys.jwtSecret, Date.now()), "anon");
  assert.match(headers["x-forwarded-for"] as string, /^(127\.0\.0\.1|::1)$/);
  assert.equal(headers["x-forwarded-host"], new URL(gateway.url).host);
  assert.equal(headers.forwarded, undefined);
  assert.equal(headers["x-request-id"], "r1");
});

test("functions get key and token as the client sent them", async () => {
  await ask("/functions/v1/hello/a?b", { headers: { authorization: "Bearer own" } });
  assert.equal(lastSeen().url, "/hello/a?b=");
  assert.equal(lastSeen().headers.authorization, "Bearer own");
  assert.equal(lastSeen().headers.apikey, keys.publishableKey);
});

test("auth gets the role's token too; storage where no user's token is there", async () => {
  const asked = (path: string, headers: HeadersInit) =>
    ask(path, { headers }).then((answer) => answer.text());
  const role = (text: string) => roleOfToken(text.slice(7), keys.jwtSecret, Date.now());
  assert.equal(role(await asked("/auth/v1/settings", { apikey: keys.secretKey })), "service_role");
  const bucket = "/storage/v1/bucket";
  assert.equal(role(await asked(bucket, { apikey: keys.secretKey })), "service_role");
  const token = `Bearer ${keys.secretKey}`;
  assert.equal(role(await asked(bucket, { apikey: "", authorization: token })), "service_role");
  assert.equal(await asked(bucket, { authorization: "Bearer own" }), "Bearer own");
  assert.equal(await asked(bucket, { apikey: "" }), "");
  const signature = "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request, SignedHeaders=host, Signature=0";
  assert.equal(await asked("/storage/v1/s3/b", { authorization: signature }), signature);
});

test("bodies pass in both framings", async () => {
  const fixed = await ask("/rest/v1/x", { method: "POST", body: "x".repeat(100_000) });
  assert.equal(((await fixed.json()) as { size: number }).size, 100_000);
  const stream = new Blob(["y".repeat(50_000)]).stream();
  const chunked = await ask("/rest/v1/x?id=eq.1", {
    method: "PATCH",
    body: stream,
    duplex: "half",
  } as RequestInit);
  assert.equal(((await chunked.json()) as { size: number }).size, 50_000);
});

test("a body that says it is too long, or turns out to be, is refused", async () => {
  const said = await once(
    httpRequest(`${gateway.url}/rest/v1/x`, {
      method: "POST",
      headers: { apikey: keys.publishableKey, "content-length": 33 * 1024 * 1024 },
    })
      .on("error", () => {})
      .end("x"),
    "response",
  );
  assert.equal((said[0] as IncomingMessage).statusCode, 413);
  (said[0] as IncomingMessage).resume();
  const outgoing = httpRequest(`${gateway.url}/functions/v1/hello`, { method: "POST" });
  outgoing.on("error", () => {}); // the gateway hangs up on the rest
  const chunk = Buffer.alloc(1024 * 1024);
  const more = () => {
    while (!outgoing.destroyed && !outgoing.writableEnded && outgoing.write(chunk));
  };
  outgoing.on("drain", more);
  more();
  const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
  assert.equal(answer.statusCode, 413);
  outgoing.destroy();
});

test("a body that the upstream may leave unread has a connection of its own", async () => {
  const ports: Record<number, (number | undefined)[]> = { 10: [], 9000: [] };
  for (const bytes of [9000, 10, 9000, 10]) {
    await (await ask("/rest/v1/x", { method: "POST", body: "x".repeat(bytes) })).text();
    ports[bytes]?.push(lastSeen().socket.remotePort);
  }
  assert.equal(new Set(ports[10]).size, 1, "small ones share theirs");
  assert.equal(new Set([...(ports[9000] ?? []), ...(ports[10] ?? [])]).size, 3);
});

test("an upstream that answers before the body's end leaves the connection usable", async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const send = (path: string, body: Buffer) =>
    new Promise<number | undefined>((resolve, reject) => {
      httpRequest(
        gateway.url + path,
        { method: "POST", agent, headers: { apikey: keys.publishableKey } },
        (answer) => {
          answer.resume().once("end", () => resolve(answer.statusCode));
        },
      )
        .on("error", reject)
        .end(body);
    });
  for (let round = 0; round < 5; round++) {
    assert.equal(await send("/rest/v1/early", Buffer.alloc(3 * 1024 * 1024)), 413);
    assert.equal(await send("/rest/v1/agents", Buffer.from("{}")), 200);
  }
  agent.destroy();
});

test("CORS: the platform's answers get the gateway's headers, a function keeps its own", async () => {
  assert.equal((await ask("/rest/v1/cors")).headers.get("access-control-allow-origin"), "*");
  const own = await ask("/functions/v1/hello");
  assert.equal(own.headers.get("access-control-allow-origin"), "*");
});

test("an answer that breaks off breaks off for the client too", async () => {
  await assert.rejects(async () => await (await ask("/rest/v1/break")).text());
});

test("a function that does not load is 503 for it alone", async () => {
  const answer = await ask("/functions/v1/broken/x");
  assert.equal(answer.status, 503);
  assert.deepEqual(await answer.json(), {
    code: "BOOT_ERROR",
    message: "Function failed to start (please check logs)",
  });
  assert.equal((await ask("/functions/v1/hello")).status, 200);
});

test("verify_jwt lets a valid token and a preflight through, and nothing else", async () => {
  const reached = seen.length;
  const refused = async (headers: Record<string, string>) => {
    const answer = await ask("/functions/v1/guarded", { headers });
    return { status: answer.status, body: await answer.json() };
  };
  assert.deepEqual(await refused({}), {
    status: 401,
    body: { code: 401, message: "Missing authorization header" },
  });
  for (const authorization of ["Bearer own", `Bearer ${keys.publishableKey}`, "Basic eDp5"]) {
    assert.deepEqual(await refused({ authorization }), {
      status: 401,
      body: { code: 401, message: "Invalid JWT" },
    });
  }
  assert.equal(seen.length, reached);
  const token = createRoleTokens(keys.jwtSecret)("anon");
  for (const init of [{ headers: { authorization: `Bearer ${token}` } }, { method: "OPTIONS" }]) {
    assert.equal((await ask("/functions/v1/guarded", init)).status, 200);
  }
});

test("a URL longer than the headers may be is 414 with a sentence, other headers 431", async () => {
  const answer = async (path: string, headers: string) => {
    const { port } = new URL(gateway.url);
    const socket = connect(Number(port), "127.0.0.1");
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`);
    return await text(socket);
  };
  const ids = Array.from({ length: 420 }, () => "0b5f4c1e-6f3a-4d0e-9d53-0c0e8f1a2b3c").join(",");
  const long = await answer(`/rest/v1/agents?id=in.(${ids})`, `authorization: Bearer ${"x".repeat(900)}\r\n`);
  assert.match(long, /^HTTP\/1\.1 414 URI Too Long\r\n/);
  assert.match(long, /"message":"The URL is too long: /);
  assert.match(await answer("/rest/v1/agents", `x-much: ${"x".repeat(17_000)}\r\n`), /^HTTP\/1\.1 431 /);
});

test("an upstream that hangs up is 503", async () => {
  assert.equal((await ask("/rest/v1/hang-up", { method: "POST", body: "x" })).status, 503);
});

for (const [method, times] of [
  ["GET", 2],
  ["POST", 1],
] as const) {
  test(`a kept-alive connection that dies under a ${method} without a body: sent ${times} times`, async () => {
    await (await ask("/rest/v1/x")).text(); // leaves a connection to be used again
    const before = seen.length;
    assert.equal((await ask("/rest/v1/hang-up", { method })).status, 503);
    assert.equal(seen.length - before, times);
  });
}

test("an unknown key reaches a function, which judges it", async () => {
  const headers = { apikey: "sb_publishable_of-another" };
  assert.equal((await ask("/functions/v1/hello", { headers })).status, 200);
  assert.equal(lastSeen().headers.apikey, headers.apikey);
  assert.equal((await ask("/rest/v1/x", { headers })).status, 401);
});

test("a password is checked by Auth alone, and what it answers passes", async () => {
  const answer = await ask("/auth/v1/token?grant_type=password", {
    method: "POST",
    body: JSON.stringify({ email: "A@example.com", password: "p" }),
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("supabase-auth-rate-limit"), null);
  const role = roleOfToken((await answer.text()).slice(7), keys.jwtSecret, Date.now());
  assert.equal(role, "anon");
});

test("a change of every row is refused, one with a filter passes", async () => {
  const refused = await ask("/rest/v1/x?select=id", { method: "DELETE" });
  assert.equal(refused.status, 400);
  assert.equal(((await refused.json()) as { code: string }).code, "21000");
  assert.equal((await ask("/rest/v1/x?id=eq.1", { method: "DELETE" })).status, 200);
});

test("the page at / names what every project has, and nothing else is routed", async () => {
  const home = (await (await ask("/")).json()) as { links: { href: string }[] };
  assert.deepEqual(
    home.links.map(({ href }) => href),
    ["/mailbox", "/healthz"],
  );
  for (const path of ["/api", "/docs", "/agents/agent-1"]) assert.equal((await ask(path)).status, 404, path);
});

test("what is down is 503 in JSON", async (t) => {
  down = true;
  t.onTestFinished(() => {
    down = false;
  });
  for (const path of ["/rest/v1/x", "/auth/v1/x", "/storage/v1/bucket", "/functions/v1/hello"]) {
    const answer = await ask(path);
    assert.equal(answer.status, 503, path);
    assert.equal(((await answer.json()) as { code: string }).code, "SERVICE_UNAVAILABLE");
  }
  assert.equal((await ask("/healthz")).status, 503);
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

test("an offer of HTTP/2 is passed over, and the request itself answered, body and all", async () => {
  const { hostname, port } = new URL(gateway.url);
  for (const [path, url] of [
    ["/rest/v1/x", "/x"],
    ["/functions/v1/hello", "/hello"],
  ]) {
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\napikey: ${keys.publishableKey}\r\nconnection: Upgrade, HTTP2-Settings\r\n` +
        "upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\ncontent-length: 4\r\n\r\nbody",
    );
    const [answer] = (await once(socket.setEncoding("utf8"), "data")) as [string];
    socket.destroy();
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.ok(answer.includes(`"method":"POST","url":"${url}","size":4`), answer);
  }
});

test("an answer may repeat the longest address that a request may have", async () => {
  const { status } = await ask(`/rest/v1/echo-location?x=${"a".repeat(15_500)}`, {
    headers: { apikey: keys.publishableKey },
  });
  assert.equal(status, 200);
  const short = await ask("/rest/v1/echo-location?x=a", { headers: { apikey: keys.publishableKey } });
  assert.ok(short.headers.has("content-location"));
});

test("a WebSocket passes through to a function, both ways, and ends on both sides", async () => {
  const { head, socket } = await handshake("/functions/v1/hello/chat?a=1", "localhost");
  assert.match(head, /^HTTP\/1\.1 101 /);
  socket.write("hi");
  assert.equal(String((await once(socket, "data"))[0]), "echo hi");
  socket.end();
  await once(socket, "close");
});

test("a handshake that is refused, has no upstream or no route is answered in HTTP", async (t) => {
  const cases: [string, string, RegExp][] = [
    ["/functions/v1/hello/refuse", "localhost", /^HTTP\/1\.1 403 [\s\S]*no$/],
    ["/realtime/v1/websocket", "localhost", /^HTTP\/1\.1 401 /],
    [`/realtime/v1/websocket?apikey=${keys.publishableKey}`, "localhost", /^HTTP\/1\.1 503 /],
    ["/rest/v1/x", "localhost", /^HTTP\/1\.1 404 /],
    ["/functions/v1/none", "localhost", /^HTTP\/1\.1 404 /],
    ["/functions/v1/guarded", "localhost", /^HTTP\/1\.1 401 /],
    ["/functions/v1/broken", "localhost", /^HTTP\/1\.1 503 /],
  ];
  for (const [path, host, expected] of cases) {
    const { head, socket } = await handshake(path, host);
    assert.match(head, expected);
    socket.destroy();
  }
  down = true;
  t.onTestFinished(() => {
    down = false;
  });
  const { head, socket } = await handshake("/functions/v1/hello", "localhost");
  assert.match(head, /^HTTP\/1\.1 503 /);
  socket.destroy();
});
