// Every policy of public and of storage.objects is dropped, and widened, in turn: a matrix must notice each time.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { type FileCast, fileDeviations, fillBuckets } from "../helpers/file-matrix.ts";
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

describe("mutants of the policies on files", () => {
  let files: FileCast;
  let filePolicies: Policy[];

  before(async () => {
    const agent = async (owner: string) =>
      (
        await db.as(user(owner), (c) =>
          c.query("insert into public.agents (name) values ('with files') returning id"),
        )
      ).rows[0].id as string;
    files = { ...cast, bobsAgentId: await agent(cast.bob), goneAgentId: await agent(cast.alice) };
    await fillBuckets(db, files);
    const { rows } = await db.superuser.query<Policy>(
      `select tablename as table, policyname as name, qual as using, with_check as check from pg_policies
       where schemaname = 'storage' and tablename = 'objects' order by 2`,
    );
    filePolicies = rows;
  });

  const onObjects = ({ name }: Policy) => `policy "${name.replaceAll('"', '""')}" on storage.objects`;

  /** What the matrix overlooks when policies are changed as `change` says: each half alone, or both `together`. */
  async function fileSurvivors(change: (condition: string) => string, together = false): Promise<string[]> {
    const survived: string[] = [];
    let tried = 0;
    for (const policy of filePolicies) {
      const halves = (["using", "check"] as const).flatMap((half) => {
        const condition = policy[half];
        if (condition === null) return [];
        assert.notEqual(change(condition), condition, `${policy.name}: ${condition} is left as it is`);
        return [`${half === "check" ? "with check" : half} (${change(condition)})`];
      });
      for (const changed of together ? [halves.join(" ")] : halves) {
        tried += 1;
        const mutation = `alter ${onObjects(policy)} ${changed}`;
        if ((await fileDeviations(db, files, mutation)).length === 0) survived.push(mutation);
      }
    }
    assert.equal(tried, together ? 4 : 5);
    return survived;
  }

  const BUCKETS = /\(bucket_id = ANY \(ARRAY\[[^\]]*\]\)\)/;

  test("the matrix holds before anything is changed", async () => {
    assert.deepEqual(await fileDeviations(db, files), []);
  });

  test("a dropped policy is noticed by what no longer works", async () => {
    for (const policy of filePolicies) {
      const found = await fileDeviations(db, files, `drop ${onObjects(policy)}`);
      assert.ok(
        found.some((line) => / may not /.test(line)),
        `${policy.name}: ${found}`,
      );
    }
  });

  for (const [what, change] of [
    ["everything", () => "true"],
    ["any bucket", (condition: string) => condition.replace(BUCKETS, "true")],
    ["any agent", (condition: string) => `${BUCKETS.exec(condition)?.[0]}`],
    ["one bucket alone", (condition: string) => `(${condition}) and bucket_id = 'agent-assets'`],
    ["the other bucket alone", (condition: string) => `(${condition}) and bucket_id = 'agent-backups'`],
    ["nothing", () => "false"],
  ] as const) {
    test(`a policy that allows ${what} is noticed`, async () =>
      assert.deepEqual(await fileSurvivors(change), []));
  }

  test("a policy that asks for the other permission is noticed", async () => {
    // One half that asks for less is equalled by the other.
    const swap = (condition: string) =>
      condition.replace(/agents:(read|write)/, (_, it) => (it === "read" ? "agents:write" : "agents:read"));
    assert.deepEqual(await fileSurvivors(swap, true), []);
  });

  test("a policy added beside the others, and row-level security switched off, are noticed", async () => {
    for (const mutation of [
      'create policy "mutant" on storage.objects for all to authenticated using (true)',
      "alter table storage.objects disable row level security",
    ]) {
      const found = await fileDeviations(db, files, mutation);
      assert.ok(
        found.some((line) => line.startsWith("other may r")),
        `${mutation}: ${found}`,
      );
    }
  });
});
