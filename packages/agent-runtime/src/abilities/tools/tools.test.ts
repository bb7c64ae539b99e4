/** Tools alone: arithmetic, time, requests to the outside, and what they refuse. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, it } from "vitest";
import { isPublicAddress } from "../../../../../supabase/functions/_shared/addresses.ts";
import { calculate } from "./calculator.ts";
import type { ToolDefinition } from "./definition.ts";
import { exchange } from "./exchange.ts";
import { composeRequest, withDefaults } from "./http-tool.ts";
import { callTool, type ToolContext } from "./index.ts";
import { checkedAddress, isListed, MAX_RESPONSE_BYTES, requestOutside } from "./request.ts";

/** What the model reads of a call. */
const runTool = async (...call: Parameters<typeof callTool>) => (await callTool(...call)).text;

describe("the calculator", () => {
  for (const [expression, value] of [
    ["1 + 2 * 3", 7],
    ["(1+2)*3", 9],
    ["2^3^2", 512],
    ["-2^2", -4],
    ["2**-1", 0.5],
    ["10 % 4 / 2", 1],
    ["1.5e3 + .5", 1500.5],
    ["max(1, sqrt(16), 3) - round(2.345, 2)", 4 - 2.35],
    ["sin(PI / 2)", 1],
    ["--3", 3],
  ] as const) {
    it(expression, () =>
      assert.ok(Math.abs(calculate(expression) - value) < 1e-9, String(calculate(expression))),
    );
  }
  for (const expression of [
    "",
    "1 +",
    "1 / 0",
    "(1",
    "1)",
    "process.exit()",
    "constructor",
    "toString()",
    "__proto__",
    "1 2",
    "2^99999",
    `${"(".repeat(60)}1${")".repeat(60)}`,
    `${"2^".repeat(200)}2`,
    "1".repeat(501),
    "a=1",
    "[1]",
  ]) {
    it(`refuses ${expression.slice(0, 20)}`, () => assert.throws(() => calculate(expression), /./));
  }
});

describe("public addresses", () => {
  for (const address of [
    "8.8.8.8",
    "1.1.1.1",
    "172.15.0.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00::1",
  ]) {
    it(`${address} is`, () => assert.equal(isPublicAddress(address), true));
  }
  for (const address of [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.8",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "localhost",
    "",
    "1.2.3",
  ]) {
    it(`${address || "nothing"} is not`, () => assert.equal(isPublicAddress(address), false));
  }
});

describe("requests to the outside", () => {
  let server: Server;
  let port = 0;
  let listener: RequestListener = (_, response) => response.end("ok");
  beforeAll(async () => {
    server = createServer((request, response) => listener(request, response));
    await once(server.listen(0, "127.0.0.1"), "listening");
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  const signal = AbortSignal.timeout(10_000);
  const limits = (more: object = {}) => ({
    privateHosts: [`api.test:${port}`],
    signal,
    mayFollow: () => true,
    resolve: async () => ["127.0.0.1"],
    ...more,
  });
  const get = { method: "GET", headers: {} };
  const url = (path = "/") => new URL(`http://api.test:${port}${path}`);

  it("go to the checked address with the name as Host", async () => {
    listener = (request, response) =>
      response.end(`${request.method} ${request.headers.host} ${request.url}`);
    const { status, body } = await requestOutside(url("/x?y=1"), get, limits());
    assert.deepEqual([status, body], [200, `GET api.test:${port} /x?y=1`]);
  });

  it("are refused unless every address is public", async () => {
    for (const addresses of [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], []]) {
      await assert.rejects(
        checkedAddress(new URL("http://evil.test/"), { privateHosts: [], resolve: async () => addresses }),
        /not on the public Internet|not found/,
      );
    }
    assert.equal(
      await checkedAddress(new URL("https://good.test/"), {
        privateHosts: [],
        resolve: async () => ["8.8.8.8"],
      }),
      "8.8.8.8",
    );
  });

  it("are refused for addresses in every spelling, other schemes, ports and passwords", async () => {
    for (const target of [
      "http://127.0.0.1/",
      "http://127.1/",
      "http://0x7f000001/",
      "http://2130706433/",
      "http://017700000001/",
      "http://[::1]/",
      "http://[::ffff:127.0.0.1]/",
      "http://169.254.169.254/latest/meta-data/",
      "file:///etc/passwd",
      "gopher://example.com/",
      "http://good.test:25/",
      "http://user:pw@good.test/",
    ]) {
      const check = checkedAddress(new URL(target), { privateHosts: [], resolve: async () => ["8.8.8.8"] });
      await assert.rejects(check, /./, target);
    }
  });

  it("check each redirect, and where it may lead", async () => {
    listener = (_, response) => response.writeHead(302, { location: "http://169.254.169.254/" }).end();
    await assert.rejects(
      requestOutside(url(), get, limits({ resolve: async () => ["127.0.0.1"] })),
      /not on the public Internet/,
    );
    await assert.rejects(requestOutside(url(), get, limits({ mayFollow: () => false })), /may not go/);
    listener = (_, response) => response.writeHead(302, { location: "/again" }).end();
    await assert.rejects(requestOutside(url(), get, limits()), /without end/);
  });

  it("a name that changes its address between check and use gains nothing: it is resolved once", async () => {
    let asked = 0;
    listener = (_, response) => response.end("the checked one");
    const resolve = async () => (asked++ === 0 ? ["127.0.0.1"] : ["10.0.0.1"]);
    assert.equal((await requestOutside(url(), get, limits({ resolve }))).body, "the checked one");
    assert.equal(asked, 1);
  });

  it("leave what may be secret behind when a redirect leaves the origin", async () => {
    const seen: (string | undefined)[] = [];
    listener = (request, response) => {
      seen.push(request.headers["x-key"] as string | undefined);
      if (request.url === "/") response.writeHead(307, { location: `http://other.test:${port}/there` }).end();
      else response.end("there");
    };
    await requestOutside(
      url(),
      { method: "GET", headers: { "x-key": "secret" } },
      limits({ privateHosts: ["api.test", "other.test"] }),
    );
    assert.deepEqual(seen, ["secret", undefined]);
  });

  it("read lengths, chunks and what ends with the connection; refuse what is too large or no HTTP", async () => {
    const read = (answer: RequestListener) => {
      listener = answer;
      return exchange(url(), "127.0.0.1", get, { maxBytes: 1000, signal });
    };
    assert.equal((await read((_, r) => r.writeHead(200, { "content-length": "3" }).end("abc"))).body, "abc");
    assert.equal(
      (
        await read((_, r) => {
          r.write("ab");
          r.end("cd");
        })
      ).body,
      "abcd",
    );
    assert.equal(
      (await read((_, r) => void r.socket?.end("HTTP/1.0 200 OK\r\n\r\nuntil the end"))).body,
      "until the end",
    );
    assert.equal((await read((_, r) => r.writeHead(204).end())).body, "");
    await assert.rejects(
      read((_, r) => r.end("x".repeat(1001))),
      /larger/,
    );
    await assert.rejects(
      read((_, r) => void r.socket?.end("SSH-2.0-x\r\n\r\n")),
      /not HTTP/,
    );
    await assert.rejects(
      read((_, r) => void r.socket?.end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab")),
      /broke off/,
    );
    await assert.rejects(
      read((_, r) => r.socket?.destroy()),
      /./,
    );
    await assert.rejects(
      exchange(new URL(`https://api.test:${port}/`), "127.0.0.1", get, { maxBytes: 9, signal }),
      /./,
      "TLS is not given up",
    );
  });

  const http = (more: Partial<ToolDefinition> = {}): ToolDefinition => ({
    id: "t1",
    name: "weather",
    description: "d",
    inputSchema: {
      type: "object",
      properties: { city: { type: "string", maxLength: 50 }, units: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
    implementation: {
      type: "http",
      url: `http://api.test:${port}/v1/{{city}}`,
      headers: { "x-key": "{{api_key}}" },
    },
    configuration: { api_key_ref: "key", default_units: "metric" },
    secret: "s3cret-value",
    ...more,
  });
  const context = (more: object = {}): ToolContext => ({ limits: limits(more), search: async () => [] });

  it("a tool fills URL, headers, defaults and query; the secret does not come back", async () => {
    listener = (request, response) => response.end(`${request.url} with ${request.headers["x-key"]}`);
    assert.equal(
      await runTool(http(), { city: "New York/../x" }, context()),
      "HTTP 200\n/v1/New%20York%2F..%2Fx?units=metric with [secret]",
    );
  });

  it("a secret that is repeated in another spelling does not come back", async () => {
    const secret = "pass/word+of the weather";
    const url = `http://api.test:${port}/v1/{{city}}?key={{api_key}}`;
    listener = (request, response) =>
      response.end(`${request.url} ${JSON.stringify(secret)} ${Buffer.from(secret).toString("base64")}`);
    const text = await runTool(
      http({ secret, implementation: { type: "http", url } }),
      { city: "x" },
      context(),
    );
    assert.match(text, /^HTTP 200\n\/v1\/x\?key=\[secret\]&units=metric "\[secret\]" \[secret\]/);
  });

  it("arguments are judged by the schema before anything is sent", async () => {
    let requests = 0;
    listener = (_, response) => {
      requests += 1;
      response.end();
    };
    assert.match(await runTool(http(), {}, context()), /^error: the arguments do not fit: city: /);
    assert.match(await runTool(http(), { city: 5 }, context()), /^error: .*city/);
    assert.match(await runTool(http(), { city: "x", more: 1 }, context()), /^error: .*more/);
    assert.match(await runTool(http(), "nonsense", context()), /^error/);
    assert.match(
      await runTool(http(), { city: ".." }, context()),
      /^error: The arguments do not fit the tool's URL/,
    );
    assert.equal(requests, 0);
  });

  it("a tool without its secret says which", async () => {
    assert.equal(
      await runTool(http({ secret: null }), { city: "x" }, context()),
      "error: The secret key is not set.",
    );
  });

  it("a body is JSON, and a secret that no placeholder names a bearer token", async () => {
    const tool = http({ implementation: { type: "http", method: "POST", url: "http://a.test/x" } });
    const { request } = composeRequest(tool, withDefaults(tool, { city: "Rome" }));
    assert.equal(Buffer.from(request.body ?? []).toString(), '{"city":"Rome","units":"metric"}');
    assert.equal(request.headers.authorization, "Bearer s3cret-value");
  });

  describe("a request is made as its tool says", () => {
    const send = async (implementation: object, given: Record<string, unknown>) => {
      let seen = { url: "", accept: "", type: "", tenant: "", body: "" };
      listener = async (request, response) => {
        const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString();
        const { accept = "", "content-type": type = "", "x-tenant": tenant = "(none)" } = request.headers;
        seen = { url: request.url ?? "", accept, type, tenant: String(tenant), body };
        response.end("ok");
      };
      const tool = http({
        inputSchema: { type: "object" },
        implementation: { type: "http", ...implementation },
        configuration: {},
      });
      const result = await runTool(tool, given, context());
      return { ...seen, result };
    };
    const base = () => `http://api.test:${port}`;

    it("the tool's own Accept header wins", async () => {
      const { accept } = await send({ url: `${base()}/x`, headers: { Accept: "application/json" } }, {});
      assert.equal(accept, "application/json");
      assert.equal((await send({ url: `${base()}/x` }, {})).accept, "*/*");
    });

    it("a form content type sends a form", async () => {
      const headers = { "Content-Type": "application/x-www-form-urlencoded" };
      const given = { a: "x y", ids: [1, 2], none: null };
      const { body, type } = await send({ method: "POST", url: `${base()}/x`, headers }, given);
      assert.deepEqual([body, type], ["a=x+y&ids=1&ids=2", "application/x-www-form-urlencoded"]);
    });

    it("a list in a query is one entry per item, null is left out, an object is JSON", async () => {
      const { url } = await send({ url: `${base()}/x` }, { ids: [1, 2], q: null, at: { a: 1 } });
      assert.equal(url, "/x?ids=1&ids=2&at=%7B%22a%22%3A1%7D");
    });

    it("a JSON body keeps lists and null", async () => {
      const { body } = await send({ method: "POST", url: `${base()}/x` }, { ids: [1], q: null });
      assert.equal(body, '{"ids":[1],"q":null}');
    });

    it("a placeholder takes any property name", async () => {
      const given = { "user-id": "7", "first name": "Ann B" };
      const { url } = await send({ url: `${base()}/u/{{user-id}}?n={{ first name }}` }, given);
      assert.equal(url, "/u/7?n=Ann%20B");
    });

    it("an optional argument that is absent takes its query parameter and header along", async () => {
      const implementation = {
        url: `${base()}/x?fixed=1&page={{page}}&q={{q}}`,
        headers: { "X-Tenant": "t-{{tenant}}" },
      };
      assert.deepEqual((({ url, tenant }) => [url, tenant])(await send(implementation, { q: "a&b" })), [
        "/x?fixed=1&q=a%26b",
        "(none)",
      ]);
      assert.equal((await send({ url: `${base()}/x?page={{page}}` }, {})).url, "/x");
      assert.equal((await send(implementation, { tenant: "5" })).tenant, "t-5");
    });

    it("an argument that the path needs is asked for", async () => {
      const { result } = await send({ url: `${base()}/{{city}}` }, {});
      assert.equal(result, "error: The argument city is missing.");
    });
  });

  it("time and size are limited", async () => {
    listener = () => undefined;
    const stalled = runTool(http(), { city: "x" }, context({ signal: AbortSignal.timeout(100) }));
    assert.equal(await stalled, "error: the tool took too long");
    listener = (_, response) => response.end("x".repeat(MAX_RESPONSE_BYTES + 1));
    assert.match(await runTool(http(), { city: "x" }, context()), /^error: /);
    listener = (_, response) => response.end("x".repeat(20_000));
    assert.match(await runTool(http(), { city: "x" }, context()), /\(20009 characters in all\)$/);
  });

  const builtin = (name: string, configuration = {}): ToolDefinition => ({
    id: "t2",
    name,
    description: "d",
    inputSchema: { type: "object" },
    implementation: { type: "builtin", name },
    configuration,
  });

  it("http_request goes to its allow-list alone, redirects included", async () => {
    listener = (request, response) => response.end(`hello from ${request.url}`);
    const tool = builtin("http_request", { allowed_hosts: [`api.test:${port}`] });
    assert.equal(await runTool(tool, { url: String(url("/a")) }, context()), "HTTP 200\nhello from /a");
    assert.match(
      await runTool(builtin("http_request"), { url: String(url()) }, context()),
      /not on this agent's allow-list \(empty\)/,
    );
    assert.match(await runTool(tool, { url: "http://elsewhere.test/" }, context()), /allow-list/);
    listener = (_, response) => response.writeHead(302, { location: "http://elsewhere.test/" }).end();
    assert.match(await runTool(tool, { url: String(url()) }, context()), /may not go/);
  });

  it("the allow-list knows subdomains and ports", () => {
    const on = (target: string, ...list: string[]) => isListed(new URL(target), list);
    assert.equal(on("https://a.example.com/", "*.example.com"), true);
    assert.equal(on("https://example.com/", "*.example.com"), false);
    assert.equal(on("https://badexample.com/", "*.example.com"), false);
    assert.equal(on("https://example.com/", "EXAMPLE.com"), true);
    assert.equal(on("https://example.com/", "example.com:8443"), false);
    assert.equal(on("https://example.com.evil.test/", "example.com"), false);
  });

  it("the others answer", async () => {
    assert.match(await runTool(builtin("current_time"), {}, context()), /^\d{4}-\d\d-\d\dT/);
    assert.match(await runTool(builtin("current_time"), { time_zone: "Asia/Tokyo" }, context()), /\d{4}/);
    assert.match(
      await runTool(builtin("current_time"), { time_zone: "Nowhere" }, context()),
      /^error: "Nowhere"/,
    );
    assert.equal(await runTool(builtin("calculator"), { expression: "6*7" }, context()), "42");
    assert.equal(await runTool(builtin("conversation_search"), { query: "x" }, context()), "[]");
    assert.match(await runTool(builtin("rm"), {}, context()), /^error/);
  });
});
