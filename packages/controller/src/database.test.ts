import assert from "node:assert/strict";
import { test } from "node:test";
import { createDatabase, DatabaseError, readClaims } from "./database.ts";
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
  targetReplicas: 1,
  timings: {},
  spec: { ...specOf(), supabaseConfig: null },
};

function answering(respond: (body: string) => Response | Promise<Response>) {
  const seen: { url: string; init: RequestInit }[] = [];
  const database = createDatabase({
    url: "http://database",
    key: "the-key",
    timeoutMs: 50,
    fetch: (async (url: string, init: RequestInit) => {
      seen.push({ url, init });
      return await respond(String(init.body));
    }) as typeof fetch,
  });
  return { database, seen };
}

const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });

test("a call is one POST with the key, and its answer is read strictly", async () => {
  const { database, seen } = answering(() => json(200, { alive: true, held: 1, pending: 2 }));
  assert.deepEqual(await database.heartbeat("w", 15, {}), { alive: true, held: 1, pending: 2 });
  assert.equal(seen[0]?.url, "http://database/rest/v1/rpc/heartbeat_controller");
  assert.deepEqual(seen[0]?.init.headers, {
    apikey: "the-key",
    authorization: "Bearer the-key",
    "content-type": "application/json",
  });
});

test("rows of telemetry go out as they are", async () => {
  const { database, seen } = answering(() => json(200, { accepted: 2, duplicates: 0, unknown: 0 }));
  await database.ingestLogs(['{"a":1}', '{"b":2}']);
  assert.equal(seen[0]?.init.body, '{"rows":[{"a":1},{"b":2}]}');
});

const FAILURES: [what: string, respond: () => Response | Promise<Response>, kind: string, code?: string][] = [
  ["no connection", () => Promise.reject(new TypeError("fetch failed")), "unreachable"],
  ["500", () => json(500, { code: "XX000", message: "oops" }), "unavailable", "XX000"],
  ["a gateway's page", () => new Response("<html>", { status: 502 }), "unavailable"],
  ["401", () => json(401, { message: "Invalid API key" }), "unavailable"],
  ["409", () => json(409, { code: "CONFLICT", message: "No lease" }), "refused", "CONFLICT"],
  ["not JSON", () => new Response("hello", { status: 200 }), "contract"],
  ["another shape", () => json(200, { alive: "yes" }), "contract"],
];

for (const [what, respond, kind, code] of FAILURES) {
  test(`a failure is typed: ${what}`, async () => {
    const { database } = answering(respond);
    await assert.rejects(database.heartbeat("w", 15, {}), (error) => {
      assert.ok(error instanceof DatabaseError);
      assert.deepEqual([error.kind, error.code], [kind, code]);
      assert.ok(!error.message.includes("the-key"));
      return true;
    });
  });
}

test("a call that hangs ends in time", async () => {
  const database = createDatabase({
    url: "http://database",
    key: "k",
    timeoutMs: 30,
    fetch: ((_url: string, init: RequestInit) =>
      new Promise((_resolve, reject) => {
        init.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      })) as typeof fetch,
  });
  // The signal's own timer does not keep the process alive; something must, as servers do in the controller.
  const alive = setInterval(() => {}, 1000);
  await assert.rejects(database.releaseWorker("w"), { kind: "unreachable" });
  clearInterval(alive);
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
