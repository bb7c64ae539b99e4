// Sizes as Kubernetes writes them: SQL and the contract read the same, and every door stores and tells one canonical form.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { cpuMillicores, memoryBytes } from "../../supabase/functions/_shared/contract/quantities.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { createUser, liftRateLimits, rpc, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  alice = await createUser(db);
});
afterAll(() => db.destroy());

const quantities: [text: string, bytes: number | null, millicores: number | null][] = [
  ["1073741824", 1_073_741_824, 1_073_741_824_000],
  ["1e9", 1e9, 1e12],
  ["1E9", 1e9, 1e12],
  ["12e-1", 2, 1200],
  [".5", 1, 500],
  ["5.", 5, 5000],
  ["0.5", 1, 500],
  ["0.07", 1, 70],
  ["500m", 1, 500],
  ["1500000u", 2, 1500],
  ["100n", 1, 1],
  ["0.0001", 1, 1],
  [".5Gi", 536_870_912, null],
  ["1.5Gi", 1_610_612_736, null],
  ["1Ki", 1024, null],
  ["2G", 2e9, null],
  ["3k", 3000, null],
  ["1Ti", 1024 ** 4, null],
  ["1Ei", 1024 ** 6, null],
  ["2E", 2e18, null],
  ["1P", 1e15, null],
  ["1KI", null, null],
  ["1GiB", null, null],
  ["1 Gi", null, null],
  ["-1", null, null],
  ["+1", null, null],
  ["Gi", null, null],
  [".", null, null],
  ["1e", null, null],
  ["1K", null, null],
  ["0x10", null, null],
  ["", null, null],
];
for (const [text, bytes, millicores] of quantities) {
  test(`"${text}" is ${bytes ?? "no quantity"}`, async () => {
    const { rows } = await db.pool.query(
      "select private.memory_bytes($1)::float8 as bytes, private.cpu_millicores($1)::float8 as millicores",
      [text],
    );
    assert.equal(memoryBytes(text) ?? null, rows[0].bytes);
    assert.equal(Math.min(cpuMillicores(text) ?? Number.NaN, 2 ** 31 - 1) || null, rows[0].millicores);
    assert.equal(rows[0].bytes, bytes);
    if (millicores !== null) assert.equal(rows[0].millicores, Math.min(millicores, 2 ** 31 - 1));
  });
}

const forms: [given: object, stored: object][] = [
  [
    { memory: "1073741824", cpu: "1" },
    { memory: "1Gi", cpu: "1000m" },
  ],
  [
    { memory: 536870912, cpu: 0.5 },
    { memory: "512Mi", cpu: "500m" },
  ],
  [
    { memory: ".5Gi", cpu: ".5" },
    { memory: "512Mi", cpu: "500m" },
  ],
  [{ memory: "1.5Gi" }, { memory: "1536Mi", cpu: "250m" }],
  [{ memory: "1e9" }, { memory: "1G", cpu: "250m" }],
  [
    { memory: "2Gi", cpu: "1000m" },
    { memory: "2Gi", cpu: "1000m" },
  ],
  [{ memory: "134217729" }, { memory: "134217729", cpu: "250m" }],
];
for (const [given, stored] of forms) {
  test(`${JSON.stringify(given)} is stored as ${JSON.stringify(stored)} by every door`, async () => {
    const launched = await rpc(db, user(alice), "launch_agent", {
      definition: { agentName: "sized", resources: given },
    });
    assert.equal(launched.status, 201, JSON.stringify(launched.body));
    const told = await rpc(db, user(alice), "get_agent", { agent_id: launched.body.agentId });
    assert.deepEqual(told.body.resources, { ...stored, replicas: 1 });
    const inserted = await db.as(user(alice), (client) =>
      client.query("insert into public.agents (name, resources) values ('sized', $1) returning resources", [
        JSON.stringify(given),
      ]),
    );
    assert.deepEqual(inserted.rows[0].resources, stored);
  });
}

test("a size told in another spelling is no change", async () => {
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: { agentName: "same", resources: { memory: "1Gi", cpu: "1" } },
  });
  const { body: changed } = await rpc(db, user(alice), "update_agent", {
    agent_id: body.agentId,
    changes: { resources: { memory: "1024Mi", cpu: 1 } },
  });
  assert.deepEqual(changed.changes_applied, { resources: false });
});
