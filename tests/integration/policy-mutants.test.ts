// Every policy of public is dropped, and widened, in turn: the RLS matrix must notice each time.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { type Cast, deviations, fillOwnedTables, owned, shared } from "../helpers/rls-matrix.ts";
import { liftRateLimits, rpc, user } from "../helpers/sql-api.ts";

interface Policy {
  table: string;
  name: string;
  using: string | null;
  check: string | null;
}

let db: TestDatabase;
let cast: Cast;
let policies: Policy[];

before(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  const [alice, bob] = [(await db.createUser()).id, (await db.createUser()).id];
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
  cast = { alice, bob, agentId: body.agentId };
  await fillOwnedTables(db, cast);
  const { rows } = await db.pool.query<Policy>(
    `select tablename as table, policyname as name, qual as using, with_check as check from pg_policies
     where schemaname = 'public' order by 1, 2`,
  );
  policies = rows;
});
after(() => db.destroy());

const on = ({ name, table }: Policy) => `policy "${name.replaceAll('"', '""')}" on public.${table}`;

/** The mutations that every one of `kinds` makes of the policies it applies to, judged by the matrix. */
async function survivors(mutate: (policy: Policy) => string | undefined): Promise<string[]> {
  const survived: string[] = [];
  let tried = 0;
  for (const policy of policies) {
    const mutation = mutate(policy);
    if (mutation === undefined) continue;
    tried += 1;
    const found = await deviations(db, cast, { tables: [policy.table], mutation });
    if (found.length === 0) survived.push(`${policy.table}: ${policy.name}`);
  }
  assert.ok(tried > 0);
  return survived;
}

describe("mutants of policies", () => {
  test("the matrix holds before anything is changed", async () => {
    assert.deepEqual(await deviations(db, cast), []);
  });

  test("a dropped policy is noticed", async () => {
    assert.deepEqual(await survivors((policy) => `drop ${on(policy)}`), []);
  });

  test("a dropped policy that allowed something is noticed by what no longer works, not by a count alone", async () => {
    for (const policy of policies) {
      // What refuses everything refuses it without the policy too.
      if ([policy.using, policy.check].includes("false")) continue;
      const found = await deviations(db, cast, { tables: [policy.table], mutation: `drop ${on(policy)}` });
      assert.ok(
        found.some((line) => / may /.test(line)),
        `${policy.table}: ${policy.name}: ${found}`,
      );
    }
  });

  test("a policy whose using is widened to true is noticed", async () => {
    // A policy that refuses by both of its halves still does by one: they are widened together.
    const also = ({ check }: Policy) => (check === "false" ? " with check (true)" : "");
    const wide = (policy: Policy) =>
      policy.using === null || policy.using === "true"
        ? undefined
        : `alter ${on(policy)} using (true)${also(policy)}`;
    assert.deepEqual(await survivors(wide), []);
  });

  test("a policy whose check is widened to true is noticed", async () => {
    const wide = (policy: Policy) =>
      policy.check === null || policy.check === "true" || policy.using === "false"
        ? undefined
        : `alter ${on(policy)} with check (true)`;
    assert.deepEqual(await survivors(wide), []);
  });

  test("a policy added beside the others is noticed", async () => {
    for (const table of [...Object.keys(owned), ...Object.keys(shared)]) {
      const mutation = `create policy "mutant" on public.${table} for all to authenticated using (true)`;
      assert.notDeepEqual(await deviations(db, cast, { tables: [table], mutation }), [], table);
    }
  });

  test("a table whose row-level security is disabled is noticed, by what is then reached", async () => {
    for (const table of Object.keys(owned)) {
      const mutation = `alter table public.${table} disable row level security`;
      const found = await deviations(db, cast, { tables: [table], mutation });
      assert.ok(
        found.some((line) => line.includes("other may r")),
        `${table}: ${found}`,
      );
    }
  });
});
