import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { routes } from "../api/routes/index.ts";
import { type ErrorEnvelope, errorEnvelope } from "./contract/index.ts";
import { NOW, testApp } from "./testing/app.ts";
import { codedError, rateHeaders, reply, tokenFor, USER_ID } from "./testing/upstream.ts";

const envelope = async (response: Response): Promise<ErrorEnvelope["error"]> =>
  errorEnvelope.parse(await response.json()).error;

const sampleBody: Record<string, unknown> = {
  launchAgent: { agentName: "bot" },
  updateAgent: { description: "new" },
  scaleAgent: { replicas: 2 },
  updateProfile: { username: "ada" },
  putBudget: { scope: "user", period: "day", limitMicros: 1, action: "pause" },
  createAgentKey: { name: "website" },
  importAgent: { format: "agent-launchpad/agent", version: 1, definition: { agentName: "bot" } },
};

describe("every route", () => {
  for (const route of routes) {
    it(`${route.method} ${route.path} is one call of ${route.rpc}`, async () => {
      const { upstream, send } = testApp();
      const path = `/api${route.path.replace("{agentId}", "agent-1").replace("{keyId}", "key-1")}`;
      const response = await send(route.method, path, sampleBody[route.operationId]);
      assert.equal(response.status, 200, await response.clone().text());
      assert.equal(upstream.calls.length, 1);
      const [call] = upstream.calls;
      assert.equal(call?.path, `/rest/v1/rpc/${route.rpc}`);
      assert.deepEqual(Object.keys(call?.args ?? {}), Object.keys(route.args));
      if (route.path.includes("{agentId}")) assert.equal(call?.args.agent_id, "agent-1");
      assert.deepEqual(await response.json(), { rpc: route.rpc, args: call?.args });
    });
  }
});

describe("what reaches the database", () => {
  it("is the caller's identity, key, id and client, and nothing else", async () => {
    const { upstream, send, signedIn } = testApp();
    await send("GET", "/api/agents", undefined, {
      cookie: "session=1",
      "user-agent": "curl/8",
      "x-forwarded-for": "203.0.113.7",
      "x-request-id": "trace-1",
      "x-other": "1",
    });
    assert.deepEqual(Object.fromEntries(upstream.calls[0]!.headers), {
      accept: "application/json",
      apikey: "sb_publishable_client",
      authorization: signedIn.authorization,
      "content-type": "application/json",
      "user-agent": "curl/8",
      "x-forwarded-for": "203.0.113.7",
      "x-request-id": "trace-1",
    });
  });

  it("takes the key from the query too; without a key there is no call", async () => {
    const { app, upstream } = testApp();
    const headers = { authorization: `Bearer ${tokenFor()}` };
    await app.request("/api/agents?apikey=from-query", { headers });
    const keyless = await app.request("/api/agents", { headers });
    assert.equal(keyless.status, 401);
    const error = await envelope(keyless);
    assert.equal(error.code, "INVALID_JWT_TOKEN");
    assert.match(error.message, /apikey/);
    assert.deepEqual(
      upstream.calls.map((call) => call.headers.get("apikey")),
      ["from-query"],
    );
  });

  it("is the body as the client wrote it", async () => {
    const { upstream, send } = testApp();
    const text = ' {"agentName": "bot",\n "character": {"n": 1.0, "n": 123456789012345678901234567890}} ';
    await send("POST", "/api/agents", text);
    assert.equal(upstream.calls[0]?.text, `{"definition":${text}}`);
  });

  it("has defaults, and null for what is absent", async () => {
    const { upstream, send } = testApp();
    await send("GET", "/api/agents?status=deployed&limit=5");
    await send("GET", "/api/agents/agent-1/logs?since=30m");
    await send("POST", "/api/agents/agent-1/rollback");
    assert.deepEqual(
      upstream.calls.map((call) => call.args),
      [
        { limit: 5, offset: 0, status: "DEPLOYED", platform: null, after: null },
        { agent_id: "agent-1", lines: 100, since: "30m", level: null, text: null, after: null },
        { agent_id: "agent-1", revision: null },
      ],
    );
  });

  it("has the idempotency key of a POST alone", async () => {
    const { upstream, send } = testApp();
    const key = { "idempotency-key": "k-1" };
    await send("POST", "/api/agents", { agentName: "bot" }, key);
    await send("PUT", "/api/agents/agent-1", { description: "x" }, key);
    await send("POST", "/api/agents", {}, key);
    assert.deepEqual(
      upstream.calls.map((call) => call.headers.get("idempotency-key")),
      ["k-1", null, null],
    );
  });
});

describe("a success", () => {
  it("passes status, body and the documented headers through", async () => {
    const { upstream, send } = testApp();
    upstream.answer = () =>
      reply(201, { agentId: "agent-1" }, { ...rateHeaders, "Idempotency-Replayed": "true", "X-Inner": "1" });
    const response = await send("POST", "/api/agents", { agentName: "bot" });
    assert.equal(response.status, 201);
    assert.equal(await response.text(), '{"agentId":"agent-1"}');
    for (const [name, value] of Object.entries(rateHeaders)) assert.equal(response.headers.get(name), value);
    assert.equal(response.headers.get("idempotency-replayed"), "true");
    assert.equal(response.headers.get("content-type"), "application/json; charset=utf-8");
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal(response.headers.get("x-inner"), null);
  });

  it("without a body stays without one", async () => {
    const { upstream, send } = testApp();
    upstream.answer = () => new Response(null, { status: 204, headers: rateHeaders });
    const response = await send("DELETE", "/api/agents/agent-1/keys/key-1");
    assert.deepEqual([response.status, await response.text()], [204, ""]);
    assert.equal(response.headers.get("x-ratelimit-limit"), rateHeaders["X-RateLimit-Limit"]);
  });

  it("answers HEAD as GET without a body", async () => {
    const { upstream, send } = testApp();
    const response = await send("HEAD", "/api/agents/agent-1");
    assert.equal(response.status, 200);
    assert.equal(await response.text(), "");
    assert.equal(upstream.calls.length, 1);
  });
});

describe("the request id", () => {
  const cases: [inbound: string | undefined, kept: boolean][] = [
    ["trace-1", true],
    ["a.b:c_d-1", true],
    [undefined, false],
    ["with space", false],
    ["x".repeat(129), false],
    ["<script>", false],
  ];
  for (const [inbound, kept] of cases) {
    it(`${kept ? "keeps" : "replaces"} ${inbound?.slice(0, 20)}`, async () => {
      const { upstream, send, entries } = testApp();
      const response = await send(
        "GET",
        "/api/agents",
        undefined,
        inbound === undefined ? {} : { "x-request-id": inbound },
      );
      const id = response.headers.get("x-request-id") ?? "";
      if (kept) assert.equal(id, inbound);
      else assert.match(id, /^req-[a-z2-7]{12}$/);
      assert.equal(upstream.calls[0]?.headers.get("x-request-id"), id);
      assert.match(entries[0]?.requestId ?? "", kept ? /^sha256:[0-9a-f]{16}$/ : /^req-[a-z2-7]{12}$/);
    });
  }
});

describe("a refusal of the function's own", () => {
  const big = JSON.stringify({ agentName: "x", description: "y".repeat(1024 * 1024) });
  const cases: {
    name: string;
    send: [method: string, path: string, body?: unknown, headers?: Record<string, string>];
    status: number;
    code: string;
    details?: Record<string, string>;
    message?: RegExp;
  }[] = [
    { name: "an unknown path", send: ["GET", "/api/nothing"], status: 404, code: "NOT_FOUND" },
    { name: "the root", send: ["GET", "/api"], status: 404, code: "NOT_FOUND" },
    { name: "a path outside /api", send: ["GET", "/other"], status: 404, code: "NOT_FOUND" },
    { name: "a wrong method", send: ["PATCH", "/api/agents"], status: 405, code: "METHOD_NOT_ALLOWED" },
    {
      name: "GET where only POST is",
      send: ["GET", "/api/agents/stop-all"],
      status: 405,
      code: "METHOD_NOT_ALLOWED",
    },
    { name: "a body too large", send: ["POST", "/api/agents", big], status: 413, code: "PAYLOAD_TOO_LARGE" },
    {
      name: "another media type",
      send: ["POST", "/api/agents", "agentName=bot", { "content-type": "application/x-www-form-urlencoded" }],
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
    },
    {
      name: "another charset",
      send: ["POST", "/api/agents", "{}", { "content-type": "application/json; charset=utf-16" }],
      status: 415,
      code: "UNSUPPORTED_MEDIA_TYPE",
    },
    {
      name: "malformed JSON",
      send: ["POST", "/api/agents", '{"agentName": }'],
      status: 400,
      code: "VALIDATION_ERROR",
      details: { body: 'Malformed JSON at line 1, column 15 (position 14): unexpected "}"' },
    },
    {
      name: "no body",
      send: ["POST", "/api/agents"],
      status: 400,
      code: "VALIDATION_ERROR",
      details: { body: "Required" },
    },
    {
      name: "every wrong field at once",
      send: [
        "POST",
        "/api/agents?x=1",
        { resources: { memory: 1, gpu: 1 }, foo: 1 },
        { "idempotency-key": "a b" },
      ],
      status: 400,
      code: "VALIDATION_ERROR",
      message: /^Invalid request$/,
      details: {
        "Idempotency-Key": "Must be 1 to 255 visible ASCII characters",
        agentName: "Required",
        foo: "Unknown field",
        "resources.gpu": "Unknown field",
        "resources.memory": 'Must be a quantity from 128Mi to 64Gi, such as "512Mi" or "1Gi"',
        x: "Unknown parameter",
      },
    },
    {
      name: "a wrong query",
      send: ["GET", "/api/agents?limit=0&offset=x&status=odd&limit=3"],
      status: 400,
      code: "VALIDATION_ERROR",
      message: /^Invalid query parameters$/,
    },
    {
      name: "a body where none is taken",
      send: ["POST", "/api/agents/agent-1/restart", { force: true }],
      status: 400,
      code: "VALIDATION_ERROR",
      details: { force: "Unknown field" },
    },
    {
      name: "a character that cannot be stored",
      send: ["POST", "/api/agents", '{"agentName":"a\\u0000"}'],
      status: 400,
      code: "VALIDATION_ERROR",
      details: { agentName: "Has a character that cannot be stored" },
    },
    {
      name: "an id no agent can have",
      send: ["GET", "/api/agents/%00"],
      status: 404,
      code: "AGENT_NOT_FOUND",
    },
    {
      name: "an id too long",
      send: ["DELETE", `/api/agents/${"a".repeat(300)}`],
      status: 404,
      code: "AGENT_NOT_FOUND",
      message: /^Agent with ID 'a{100}…' not found or access denied$/,
    },
  ];
  for (const { name, send: request, status, code, details, message } of cases) {
    it(`${name}: ${status} ${code}, by one upstream call`, async () => {
      const { upstream, send } = testApp();
      const response = await send(...request);
      assert.equal(response.status, status);
      const error = await envelope(response);
      assert.equal(error.code, code);
      assert.equal(error.user_id, USER_ID);
      assert.equal(error.requestId, response.headers.get("x-request-id"));
      assert.equal(error.timestamp, new Date(NOW).toISOString());
      assert.deepEqual(error.supabase_details, { rls_applied: true, user_isolation: "active" });
      if (details !== undefined) assert.deepEqual(error.details, details);
      if (message !== undefined) assert.match(error.message, message);
      assert.deepEqual(
        upstream.calls.map((call) => call.rpc),
        ["refuse_request"],
      );
      assert.equal(response.headers.get("x-ratelimit-remaining"), "95");
      assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
    });
  }

  it("says what a path allows", async () => {
    const { send } = testApp();
    const allow = async (method: string, path: string) => (await send(method, path)).headers.get("allow");
    assert.equal(await allow("PATCH", "/api/agents"), "GET, HEAD, POST, OPTIONS");
    assert.equal(await allow("POST", "/api/agents/a"), "DELETE, PUT, GET, HEAD, OPTIONS");
    assert.equal(await allow("GET", "/api/agents/stop-all"), "POST, OPTIONS");
    assert.equal(await allow("POST", "/api/openapi.json"), "GET, HEAD, OPTIONS");
  });

  it("yields to what the database finds first", async () => {
    const { app, upstream, send } = testApp();
    const anonymous = await app.request("/api/agents", { method: "PATCH" });
    assert.equal(anonymous.status, 401);
    assert.equal(anonymous.headers.get("allow"), null);
    upstream.answer = () =>
      codedError("RATE_LIMIT_EXCEEDED", "Rate limit exceeded", { limit_type: "api" }, { "Retry-After": "7" });
    const limited = await send("GET", "/api/nothing");
    assert.equal(limited.status, 429);
    assert.equal(limited.headers.get("retry-after"), "7");
    assert.deepEqual((await envelope(limited)).details, { limit_type: "api" });
  });

  it("stops reading a streamed body at the limit", async () => {
    const { app, upstream, signedIn } = testApp();
    let pulled = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(64 * 1024).fill(0x20));
      },
      cancel() {
        cancelled = true;
      },
    });
    const request = new Request("http://host/api/agents", {
      method: "POST",
      headers: { ...signedIn, "content-type": "application/json" },
      body: endless,
      duplex: "half",
    } as RequestInit);
    const response = await app.request(request);
    assert.equal(response.status, 413);
    assert.ok(cancelled && pulled < 25, `${pulled} chunks`);
    assert.equal(upstream.calls.length, 1);
  });

  it("says when a body is no text, or breaks off", async () => {
    const { app, upstream, signedIn } = testApp();
    const post = async (body: BodyInit) => {
      const init = {
        method: "POST",
        headers: { ...signedIn, "content-type": "application/json" },
        body,
        duplex: "half",
      };
      return (await envelope(await app.request("/api/agents", init as RequestInit))).details;
    };
    assert.deepEqual(await post(new Uint8Array([0x7b, 0xff, 0x7d])), { body: "Is not UTF-8 text" });
    const broken = new ReadableStream({
      pull: (controller) => controller.error(new Error("connection reset")),
    });
    assert.deepEqual(await post(broken), { body: "Broke off before its end" });
    assert.equal(upstream.calls.length, 2);
  });
});

describe("without an identity", () => {
  const cases: [name: string, headers: Record<string, string>, message: string][] = [
    ["no token", {}, "A user's Supabase JWT is required"],
    ["a broken token", { authorization: "Bearer nonsense" }, "The Supabase JWT is invalid"],
    [
      "a token of no user",
      { authorization: `Bearer ${tokenFor({ role: "anon" })}` },
      "A user's Supabase JWT is required",
    ],
  ];
  for (const [name, headers, message] of cases) {
    it(`${name} is INVALID_JWT_TOKEN, with no budget`, async () => {
      const { app, upstream, entries } = testApp();
      const response = await app.request("/api/agents", { headers: { apikey: "key", ...headers } });
      assert.equal(response.status, 401);
      assert.equal(response.headers.get("www-authenticate"), "Bearer");
      assert.equal(response.headers.get("x-ratelimit-limit"), "0");
      assert.equal(response.headers.get("x-ratelimit-remaining"), "0");
      assert.equal(response.headers.get("x-ratelimit-reset"), String(NOW / 1000));
      const error = await envelope(response);
      assert.equal(error.code, "INVALID_JWT_TOKEN");
      assert.equal(error.message, message);
      assert.equal(error.user_id, null);
      assert.equal(upstream.calls.length, 1);
      assert.equal(entries[0]?.code, "INVALID_JWT_TOKEN");
    });
  }
});

describe("when the database is down", () => {
  it("is SUPABASE_CONNECTION_ERROR", async () => {
    const { upstream, send } = testApp();
    upstream.down = true;
    for (const path of ["/api/agents", "/api/nothing"]) {
      const response = await send("GET", path);
      assert.equal(response.status, 503);
      const error = await envelope(response);
      assert.equal(error.code, "SUPABASE_CONNECTION_ERROR");
      assert.equal(error.user_id, null);
      assert.deepEqual(error.supabase_details, { rls_applied: false, user_isolation: "unknown" });
    }
  });
});

describe("without the database", () => {
  it("serves the OpenAPI document to anyone", async () => {
    const { app, upstream } = testApp();
    const response = await app.request("/api/openapi.json");
    assert.equal(response.status, 200);
    assert.match(((await response.json()) as { openapi: string }).openapi, /^3\.1/);
    assert.match(response.headers.get("x-request-id") ?? "", /^req-/);
    assert.equal(upstream.calls.length, 0);
  });

  it("answers preflights", async () => {
    const { app, upstream } = testApp();
    for (const path of ["/api/agents", "/api/agents/agent-1/scale", "/api/openapi.json", "/api/nothing"]) {
      const response = await app.request(path, { method: "OPTIONS" });
      assert.equal(response.status, 204);
      assert.equal(response.headers.get("access-control-allow-origin"), "*");
      assert.match(response.headers.get("access-control-allow-headers") ?? "", /authorization, apikey/);
      assert.match(response.headers.get("access-control-allow-methods") ?? "", /OPTIONS/);
    }
    assert.equal(upstream.calls.length, 0);
  });
});

describe("the access log", () => {
  it("tells what happened and no secret", async () => {
    const { send, entries } = testApp();
    await send("GET", "/api/agents?apikey=sb_secret_hidden");
    await send("POST", "/api/agents", { agentName: "bot", environment: { TOKEN: 5, OTHER: "s3cret" } });
    assert.equal(entries.length, 2);
    assert.deepEqual(
      { ...entries[0], requestId: "", durationMs: 0 },
      {
        requestId: "",
        method: "GET",
        path: "/api/agents",
        status: 200,
        durationMs: 0,
      },
    );
    assert.equal(entries[1]?.userId, USER_ID);
    assert.doesNotMatch(JSON.stringify(entries), /hidden|s3cret|Bearer|eyJ/);
  });

  it("keeps ids of the platform and leaves out words of the caller", async () => {
    const { send, entries } = testApp();
    for (const path of [
      "/api/agents/agent-abcdefgh2345/status",
      "/api/agents/ada%20lovelace/status",
      "/api/ada/agents",
    ])
      await send("GET", path, undefined, { "x-request-id": "ada-1" });
    assert.deepEqual(
      entries.map(({ path }) => path),
      ["/api/agents/agent-abcdefgh2345/status", "/api/agents/…/status", "/api/…/agents"],
    );
    assert.ok(entries.every(({ requestId }) => /^sha256:[0-9a-f]{16}$/.test(requestId)));
    assert.doesNotMatch(JSON.stringify(entries), /ada/);
  });
});
