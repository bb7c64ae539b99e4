// Requests against a server that answers what a test tells it to.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { AgentLaunchpadError } from "./errors.ts";
import { failureOf } from "./failure.ts";
import { Http, type HttpSettings } from "./http.ts";

interface Received {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}
/** `cut`: the connection ends; `silent`: nothing comes. */
type Answer = { status?: number; headers?: Record<string, string>; body?: string } | "cut" | "silent";

let server: Server;
let origin: string;
let received: Received[] = [];
let answers: Answer[] = [];

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    received.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
    const answer = answers.shift() ?? { body: "{}" };
    if (answer === "silent") return;
    if (answer === "cut") {
      request.socket.destroy();
      return;
    }
    response.writeHead(answer.status ?? 200, answer.headers).end(answer.body ?? "{}");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  received = [];
  answers = [];
});

function http(over: Partial<HttpSettings> = {}): Http {
  return new Http({
    apiUrl: `${origin}/base`,
    projectUrl: origin,
    apiKey: "key",
    token: async () => "token",
    fetch,
    timeout: 5_000,
    totalTimeout: 0,
    onRetry: undefined,
    maxRetries: 2,
    maxRetryWait: 1_000,
    ...over,
  });
}

const envelope = (code: string, more: Record<string, unknown> = {}) =>
  JSON.stringify({ error: { code, message: "A sentence", requestId: "req-1", ...more } });

async function failure(call: Promise<unknown>): Promise<AgentLaunchpadError> {
  const error = await call.then(
    () => assert.fail("the call did not fail"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AgentLaunchpadError, String(error));
  return error;
}

describe("a request", () => {
  test("carries the key, the token, the query and the body", async () => {
    answers = [{ body: '{"a":1}' }];
    const answer = await http().send({
      method: "PUT",
      path: "/api/agents/x",
      query: { a: "b c", none: undefined, nil: null, zero: 0 },
      body: { name: "ü" },
    });
    assert.deepEqual(answer, { a: 1 });
    const [request] = received;
    assert.equal(request?.url, "/base/api/agents/x?a=b+c&zero=0");
    assert.equal(request?.body, '{"name":"ü"}');
    assert.equal(request?.headers.apikey, "key");
    assert.equal(request?.headers.authorization, "Bearer token");
    assert.match(String(request?.headers["x-client-info"]), /^agent-launchpad-js\/\d/);
    assert.equal(request?.headers["idempotency-key"], undefined);
  });

  test("to a table goes to the project, without an idempotency key, and may be answered with nothing", async () => {
    answers = [{ status: 201, body: "" }];
    assert.equal(await http().send({ method: "POST", path: "/rest/v1/swarms", body: {} }), undefined);
    assert.equal(received[0]?.url, "/rest/v1/swarms");
    assert.equal(received[0]?.headers["idempotency-key"], undefined);
  });

  test("is not made without a user", async () => {
    const error = await failure(
      http({ token: async () => undefined }).send({ method: "GET", path: "/api/health" }),
    );
    assert.equal(error.code, "INVALID_JWT_TOKEN");
    assert.equal(received.length, 0);
  });

  test("takes the token that is valid when it is repeated", async () => {
    answers = ["cut", {}];
    let count = 0;
    await http({ token: async () => `token-${++count}` }).send({ method: "GET", path: "/api/health" });
    assert.deepEqual(
      received.map(({ headers }) => headers.authorization),
      ["Bearer token-1", "Bearer token-2"],
    );
  });

  test("keeps what the server says of the limit", async () => {
    answers = [
      {
        headers: {
          "x-ratelimit-limit": "100",
          "x-ratelimit-remaining": "7",
          "x-ratelimit-reset": "1767225600",
        },
      },
      {},
    ];
    const requests = http();
    assert.equal(requests.rateLimit, undefined);
    await requests.send({ method: "GET", path: "/api/health" });
    await requests.send({ method: "GET", path: "/rest/v1/agents" });
    assert.deepEqual(requests.rateLimit, {
      limit: 100,
      remaining: 7,
      reset: new Date("2026-01-01T00:00:00Z"),
    });
  });
});

describe("a POST", () => {
  test("has one key through all its attempts, and another at the next call", async () => {
    answers = ["cut", { status: 503, body: envelope("SUPABASE_CONNECTION_ERROR") }, { status: 201 }];
    await http().send({ method: "POST", path: "/api/agents", body: {} });
    await http().send({ method: "POST", path: "/api/agents", body: {} });
    const keys = received.map(({ headers }) => headers["idempotency-key"]);
    assert.equal(keys.length, 4);
    assert.match(String(keys[0]), /^[0-9a-f]{32}$/);
    assert.equal(new Set(keys.slice(0, 3)).size, 1);
    assert.notEqual(keys[3], keys[0]);
  });

  test("takes the caller's key, and refuses one that no header can carry", async () => {
    await http().send({ method: "POST", path: "/api/agents", options: { idempotencyKey: "mine" } });
    assert.equal(received[0]?.headers["idempotency-key"], "mine");
    for (const idempotencyKey of ["", "a b", "ä", "x".repeat(256)]) {
      const call = http().send({ method: "POST", path: "/api/agents", options: { idempotencyKey } });
      assert.equal((await failure(call)).code, "VALIDATION_ERROR");
    }
    assert.equal(received.length, 1);
  });
});

describe("a failure", () => {
  test("tells code, status, request id and details of the envelope", async () => {
    answers = [{ status: 400, body: envelope("VALIDATION_ERROR", { details: { name: "Must be text" } }) }];
    const error = await failure(http().send({ method: "GET", path: "/api/x" }));
    assert.deepEqual(
      [error.code, error.status, error.requestId, error.message, error.details],
      ["VALIDATION_ERROR", 400, "req-1", "A sentence", { name: "Must be text" }],
    );
    assert.deepEqual(JSON.parse(JSON.stringify(error)).details, { name: "Must be text" });
    assert.equal(received.length, 1);
  });

  test("of PostgREST reads its details, and gives its codes ours", async () => {
    answers = [
      {
        status: 400,
        body: '{"code":"VALIDATION_ERROR","message":"m","details":"{\\"name\\":\\"Name is required\\"}"}',
      },
      { status: 409, body: '{"code":"23505","message":"duplicate","details":"Key (a)=(b)"}' },
      { status: 406, body: '{"code":"PGRST116","message":"no rows"}' },
    ];
    const call = () => failure(http().send({ method: "GET", path: "/rest/v1/swarms" }));
    assert.deepEqual((await call()).details, { name: "Name is required" });
    const conflict = await call();
    assert.deepEqual([conflict.code, conflict.details], ["CONFLICT", { upstream_code: "23505" }]);
    const newer = failureOf(
      402,
      new Headers(),
      '{"error": {"code": "A_CODE_OF_TOMORROW", "message": "x"}}',
      0,
    );
    assert.equal(newer.code, "A_CODE_OF_TOMORROW");
    const nothing = await call();
    assert.deepEqual([nothing.code, nothing.status], ["NOT_FOUND", 404]);
  });

  test("of a server that is not the API says to check the address", async () => {
    answers = [
      { status: 404, body: "<h1>Not found</h1>" },
      { status: 200, body: "<h1>Welcome</h1>" },
    ];
    for (let count = 0; count < 2; count += 1) {
      const error = await failure(http().send({ method: "GET", path: "/api/x" }));
      assert.equal(error.code, "INVALID_RESPONSE");
      assert.match(error.message, /baseUrl/);
    }
  });

  test("of a proxy is taken for a lost connection, repeated, and told in the end", async () => {
    answers = Array(3).fill({ status: 502, body: "<html>" });
    const error = await failure(http().send({ method: "GET", path: "/api/x" }));
    assert.deepEqual([error.code, error.status, received.length], ["SUPABASE_CONNECTION_ERROR", 502, 3]);
  });

  test("to connect names the address", async () => {
    const nobody = http({ apiUrl: "http://127.0.0.1:1", maxRetries: 0 });
    const error = await failure(nobody.send({ method: "GET", path: "/api/x" }));
    assert.deepEqual([error.code, error.status], ["SUPABASE_CONNECTION_ERROR", 0]);
    assert.match(error.message, /127\.0\.0\.1:1/);
    assert.ok(error.cause instanceof Error);
  });
});

describe("waiting", () => {
  test("a PUT that was refused for its rate is made again after Retry-After", async () => {
    answers = [{ status: 429, headers: { "retry-after": "0" }, body: envelope("RATE_LIMIT_EXCEEDED") }, {}];
    await http().send({ method: "PUT", path: "/api/agents/x", body: {} });
    assert.equal(received.length, 2);
  });

  test("tells of each repeat", async () => {
    answers = ["cut", { status: 500, body: envelope("INTERNAL_ERROR") }, {}];
    const told: unknown[] = [];
    const onRetry: HttpSettings["onRetry"] = ({ method, path, attempt, wait, error }) =>
      told.push([method, path, attempt, wait > 0, error.code]);
    await http({ onRetry }).send({ method: "GET", path: "/api/x" });
    assert.deepEqual(told, [
      ["GET", "/api/x", 1, true, "SUPABASE_CONNECTION_ERROR"],
      ["GET", "/api/x", 2, true, "INTERNAL_ERROR"],
    ]);
  });

  test("longer than allowed is left to the caller", async () => {
    answers = [{ status: 429, headers: { "retry-after": "30" }, body: envelope("RATE_LIMIT_EXCEEDED") }];
    const error = await failure(http().send({ method: "GET", path: "/api/x" }));
    assert.deepEqual([error.code, error.retryAfter, received.length], ["RATE_LIMIT_EXCEEDED", 30, 1]);
  });

  test("a server that says nothing is given up in time", async () => {
    answers = ["silent"];
    const options = { timeout: 50, maxRetries: 0 };
    const error = await failure(http().send({ method: "GET", path: "/api/x", options }));
    assert.equal(error.code, "TIMEOUT");
    assert.match(error.message, /0\.05 s/);
  });

  test("a signal ends a request, and a wait, with its reason", async () => {
    answers = [
      "silent",
      { status: 429, headers: { "retry-after": "1" }, body: envelope("RATE_LIMIT_EXCEEDED") },
    ];
    for (let count = 1; count <= 2; count += 1) {
      const stopping = new AbortController();
      const reason = new Error("enough");
      const call = http({ maxRetryWait: 60_000 }).send({
        method: "GET",
        path: "/api/x",
        options: { signal: stopping.signal },
      });
      while (received.length < count) await new Promise((resolve) => setImmediate(resolve));
      stopping.abort(reason);
      await assert.rejects(call, reason);
    }
    const gone = http().send({
      method: "GET",
      path: "/api/x",
      options: { signal: AbortSignal.abort("gone") },
    });
    await assert.rejects(gone, (reason) => reason === "gone");
    assert.equal(received.length, 2);
  });
});
