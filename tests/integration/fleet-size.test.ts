// What is called all day must not cost more the more agents there are. `npm run bench -- scale` measures a hundred thousand.
import assert from "node:assert/strict";
import pg from "pg";
import { beforeAll, describe, test } from "vitest";
import { fleetBuffers, generateFleet } from "../helpers/generated-fleet.ts";
import { createUnlimitedDatabase, rpc, service } from "../helpers/sql-api.ts";

const FEW = 1000;
const MANY = Number(process.env.LAUNCHPAD_FLEET_AGENTS ?? 8000);

async function buffersAmong(agents: number): Promise<Record<string, number>> {
  const db = await createUnlimitedDatabase();
  const client = new pg.Client({ connectionString: db.url("supabase_admin") });
  await client.connect();
  try {
    // One controller holds as many as before; the others are stopped.
    const fleet = await generateFleet(client, { agents, running: FEW, waiting: 60 });
    return await fleetBuffers(client, fleet);
  } finally {
    await client.end();
    await db.destroy();
  }
}

describe(`buffers among ${MANY} agents against ${FEW}`, () => {
  let few: Record<string, number>;
  let many: Record<string, number>;
  beforeAll(async () => {
    few = await buffersAmong(FEW);
    many = await buffersAmong(MANY);
  });

  for (const call of ["claim without work", "sweep", "heartbeat", "retention", "list", "status"]) {
    test(`${call}: at most 1.3 times`, () => {
      assert.ok(many[call]! <= 1.3 * few[call]!, `${many[call]} against ${few[call]}`);
    });
  }

  // Some descents of an index for each claimed row, in trees that are one level higher.
  test("claim of 50: at most 1.4 times", () => {
    const call = "claim of 50";
    assert.ok(many[call]! <= 1.4 * few[call]!, `${many[call]} against ${few[call]}`);
  });
});

describe("agents of dead controllers", () => {
  test("are claimed by the next one, also where the dead one's row is gone; those of the living are not", async () => {
    const db = await createUnlimitedDatabase();
    const client = new pg.Client({ connectionString: db.url("supabase_admin") });
    await client.connect();
    try {
      const { worker } = await generateFleet(client, { agents: 50, running: 50, waiting: 0 });
      await client.query(
        `with numbered as (select agent_id, row_number() over (order by agent_id) as n from private.agent_deployments)
         update private.agent_deployments d set lease_holder = case when s.n <= 10 then 'a-vanished' when s.n <= 20 then 'z-expired'
             else d.lease_holder end,
           phase = case when s.n in (1, 2, 11) then 'FAILED' else d.phase end,
           current_replicas = case when s.n in (2, 11) then 0 else d.current_replicas end,
           reason = case when s.n = 2 then 'CRASHED' when s.n = 11 then 'QUOTA_EXCEEDED' end
         from numbered s where s.agent_id = d.agent_id`,
      );
      await client.query(
        "insert into private.controllers (worker, expires_at) values ('z-expired', now() - interval '1 minute')",
      );
      const claims = async (by: string) =>
        (await rpc(db, service, "claim_deployments", { worker: by, max_count: 100 })).body.length;
      assert.equal(await claims("next"), 19, "all of the dead but the one that failed by itself");
      assert.equal(await claims("another"), 0);
      assert.equal(await claims(worker), 0, "what it holds already is settled");
      await client.query(
        "update private.agent_deployments set platform = 'abcdefabcdefabcd' where lease_holder = 'next'",
      );
      assert.equal(await claims("next"), 19, "its own ones whose pods are of another platform");
      await client.query("update private.controllers set drained = true where worker = 'next'");
      assert.equal(await claims("next"), 0);
    } finally {
      await client.end();
      await db.destroy();
    }
  });
});
