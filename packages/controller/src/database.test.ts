import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "vitest";
import { createDatabase, DatabaseError, readClaims } from "./database.ts";
import type { PostAnswer } from "./http-post.ts";
import { specOf } from "./testing/memory-database.ts";

const CLAIM = {
  agentId: "agent-a",
  userId: "u",
  desired: "running",
  generation: 2,
  observedGeneration: 1,
  revision: 1,
  restarts: 0,
  phase: "UPDATING",
  attempts: 0,
  leaseToken: "t",
  installation: "i",
  targetReplicas: 1,
  timings: {},
  spec: { ...specOf(), supabaseConfig: null },
};

function answering(respond: () => PostAnswer | Promise<PostAnswer>) {
  const seen: { url: string; headers: Record<string, string>; body: string }[] = [];
  const database = createDatabase({
    url: "http://database",
    key: "the-key",
    post: async (url, headers, body) => {
      seen.push({ url, headers, body });
      return await respond();
    },
  });
  return { database, seen };
}

const json = (status: number, body: unknown): PostAnswer => ({ status, text: JSON.stringify(body) });

test("a call is one POST with the key, and its answer is read strictly", async () => {
  const fleet = { installation: "i", adopted: [], hold: null, release: null };
  const beat = { alive: true, held: 1, pending: 2, waiting: { QUEUED: 3.5 }, fleet };
  const { database, seen } = answering(() => json(200, beat));
  assert.deepEqual(await database.heartbeat("w", 15, {}), beat);
  assert.equal(seen[0]?.url, "http://database/rest/v1/rpc/heartbeat_controller");
  assert.deepEqual(seen[0]?.headers, {
    apikey: "the-key",
    authorization: "Bearer the-key",
    "content-type": "application/json",
  });
});

const LINE = {
  agentId: "agent-a",
  replica: "r",
  sequence: 1,
  timestamp: "2026-11-30T00:00:00.000Z",
  level: "INFO",
  message: "hello",
  source: "runtime",
  metadata: {},
};

test("log lines go out as one array per field, samples as they are", async () => {
  const { database, seen } = answering(() => json(200, { accepted: 2, duplicates: 0, unknown: 0 }));
  await database.ingestLogs(
    [LINE, { ...LINE, sequence: 2, metadata: { a: 1 } }].map((l) => JSON.stringify(l)),
  );
  const lines = JSON.parse(seen[0]?.body ?? "");
  // Named in the query too: PostgREST hands such a body on unparsed.
  assert.ok(seen[0]?.url.endsWith(`/ingest_log_lines?columns=${Object.keys(lines).join(",")}`));
  assert.deepEqual(lines, {
    agents: ["agent-a", "agent-a"],
    replicas: ["r", "r"],
    sequences: [1, 2],
    timestamps: [LINE.timestamp, LINE.timestamp],
    levels: ["INFO", "INFO"],
    messages: ["hello", "hello"],
    sources: ["runtime", "runtime"],
    details: [null, { a: 1 }],
  });
  await database.ingestMetrics(['{"a":1}', '{"b":2}']);
  assert.equal(seen[1]?.body, '{"rows":[{"a":1},{"b":2}]}');
  assert.ok(seen[1]?.url.endsWith("/ingest_agent_metrics?columns=rows"));
});

test("a damaged line is refused without a call, so that the shipper leaves it out", async () => {
  const { database, seen } = answering(() => json(200, {}));
  await assert.rejects(database.ingestLogs(['{"agentId":"a'.concat("}")]), { kind: "refused" });
  assert.equal(seen.length, 0);
});

const FAILURES: [
  what: string,
  respond: () => PostAnswer | Promise<PostAnswer>,
  kind: string,
  code?: string,
][] = [
  ["no connection", () => Promise.reject(new Error("connect ECONNREFUSED")), "unreachable"],
  ["500", () => json(500, { code: "XX000", message: "oops" }), "unavailable", "XX000"],
  ["a gateway's page", () => ({ status: 502, text: "<html>" }), "unavailable"],
  ["a wrong key", () => json(401, { message: "Invalid API key" }), "key"],
  ["the publishable key", () => json(403, { code: "42501", message: "permission denied" }), "key", "42501"],
  ["403 of another kind", () => json(403, { code: "PERMISSION_DENIED" }), "refused", "PERMISSION_DENIED"],
  ["409", () => json(409, { code: "CONFLICT", message: "No lease" }), "refused", "CONFLICT"],
  ["not JSON", () => ({ status: 200, text: "hello" }), "contract"],
  ["another shape", () => json(200, { alive: "yes" }), "contract"],
];

for (const [what, respond, kind, code] of FAILURES) {
  test(`a failure is typed: ${what}`, async () => {
    const { database } = answering(respond);
    await assert.rejects(database.heartbeat("w", 15, {}), (error) => {
      assert.ok(error instanceof DatabaseError);
      assert.deepEqual([error.kind, error.code], [kind, code]);
      assert.ok(!error.message.includes("the-key"));
      assert.equal(error.message.includes("LAUNCHPAD_SECRET_KEY"), kind === "key");
      return true;
    });
  });
}

/** A real server for the real poster. */
async function serve(context: TestContext, listener: RequestListener, timeoutMs = 30_000) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { database: createDatabase({ url, key: "k", timeoutMs }), server };
}

test("a call that hangs ends in time", async (context) => {
  const { database } = await serve(context, () => {}, 100);
  await assert.rejects(database.releaseWorker("w"), { kind: "unreachable" });
});

test("an answer that breaks off is none", async (context) => {
  const { database } = await serve(context, (_request, response) => {
    response.writeHead(200, { "content-length": "100" });
    response.write('{"released"', () => response.destroy());
  });
  await assert.rejects(database.releaseWorker("w"), { kind: "unreachable" });
});

test("calls share a connection, and one that was closed meanwhile is no failure", async (context) => {
  const sockets = new Set<unknown>();
  let breakNext = false;
  const { database } = await serve(context, (request, response) => {
    sockets.add(request.socket);
    if (breakNext) {
      breakNext = false;
      request.socket.resetAndDestroy();
      return;
    }
    response.end('{"released":1}');
  });
  for (let time = 0; time < 5; time += 1) assert.equal(await database.releaseWorker("w"), 1);
  assert.equal(sockets.size, 1);
  breakNext = true;
  assert.equal(await database.releaseWorker("w"), 1);
});

test("a claimed row that cannot be read is handed back alone", () => {
  const { claims, unreadable } = readClaims([
    CLAIM,
    { ...CLAIM, agentId: "agent-b", spec: { ...CLAIM.spec, resources: null } },
    { ...CLAIM, agentId: "agent-c", spec: null },
    { ...CLAIM, agentId: "agent-d", spec: null, desired: "absent" },
    { ...CLAIM, agentId: "../../etc" },
    null,
  ]);
  assert.deepEqual(
    claims.map((claim) => claim.agentId),
    ["agent-a", "agent-d"],
  );
  assert.deepEqual(
    unreadable.map((row) => row.agentId),
    ["agent-b", "agent-c", "../../etc"],
  );
});

test("a caller's token is judged as the call's own, and the project's refusal is the caller's alone", async () => {
  let next: PostAnswer = json(200, { caller: "user:u" });
  const { database, seen } = answering(() => next);
  assert.equal(await database.judgeToken("agent-a", "a.b.c"), undefined);
  assert.equal(seen[0]?.url, "http://database/rest/v1/rpc/judge_caller");
  assert.deepEqual(
    [seen[0]?.headers.apikey, seen[0]?.headers.authorization, JSON.parse(seen[0]?.body ?? "")],
    ["the-key", "Bearer a.b.c", { agent_id: "agent-a", need: "read" }],
  );
  const REFUSALS: [status: number, code: string, told: [number, string]][] = [
    [401, "PGRST301", [401, "INVALID_API_KEY"]],
    [401, "INVALID_API_KEY", [401, "INVALID_API_KEY"]],
    [403, "42501", [401, "INVALID_API_KEY"]],
    [403, "INSUFFICIENT_PERMISSIONS", [403, "INSUFFICIENT_PERMISSIONS"]],
    [404, "AGENT_NOT_FOUND", [404, "AGENT_NOT_FOUND"]],
  ];
  for (const [status, code, told] of REFUSALS) {
    next = json(status, { code, message: "No." });
    const refusal = await database.judgeToken("agent-a", "a.b.c");
    assert.deepEqual([refusal?.status, refusal?.code], told, code);
  }
  next = json(503, { code: "PGRST002", message: "no database" });
  await assert.rejects(database.judgeToken("agent-a", "a.b.c"), { kind: "unavailable" });
  // The controller's own key is another matter.
  next = json(401, { code: "PGRST301" });
  await assert.rejects(database.wakeDeployment("agent-a", "key", "lp_x"), { kind: "key" });
});
