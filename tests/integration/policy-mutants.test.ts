// Every policy of the database is dropped, widened and narrowed in turn: a matrix must notice each time.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { type FileCast, fileDeviations, fillBuckets } from "../helpers/file-matrix.ts";
import { jobDeviations } from "../helpers/job-matrix.ts";
import {
  dropEach,
  halvesOf,
  type Judge,
  on,
  openTo,
  operandsOf,
  overlooked,
  type Policy,
  partsLost,
  policiesOf,
  swept,
} from "../helpers/policies.ts";
import { type Cast, deviations, fillOwnedTables, owned, shared } from "../helpers/rls-matrix.ts";
import { liftRateLimits, rpc, user } from "../helpers/sql-api.ts";
import { addSwarms, type TopicCast, topicDeviations } from "../helpers/topic-matrix.ts";

let db: TestDatabase;
let cast: Cast;
let files: FileCast;
let policies: Policy[];

beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  const [alice, bob] = [(await db.createUser()).id, (await db.createUser()).id];
  const { body } = await rpc(db, user(alice), "launch_agent", { definition: { agentName: "bot" } });
  cast = { alice, bob, agentId: body.agentId };
  await fillOwnedTables(db, cast);
  policies = await policiesOf(db, "public");
  const agent = async (owner: string) =>
    (
      await db.as(user(owner), (c) =>
        c.query("insert into public.agents (name) values ('with files') returning id"),
      )
    ).rows[0].id as string;
  files = { ...cast, bobsAgentId: await agent(bob), goneAgentId: await agent(alice) };
  await fillBuckets(db, files);
});
afterAll(() => db.destroy());

/** The mutations that `mutate` makes of the policies it applies to and that the matrix overlooks. */
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
    for (const policy of policies) swept.add(on(policy));
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

  test("a policy that lost any part of a compound condition is noticed", async () => {
    const compound = policies.filter(({ using, check }) => operandsOf(`${using} ${check}`).length > 0);
    assert.ok(compound.length > 0);
    for (const policy of compound) {
      const judge: Judge = (mutation) => deviations(db, cast, { tables: [policy.table], mutation });
      assert.deepEqual(await overlooked(judge, partsLost(policy)), []);
    }
  });

  test("a policy that asks for another permission, or for none, is noticed", async () => {
    const asks = /private\.reader\('([a-z:]+)'::text\)/;
    const instead = (other: string) => (policy: Policy) => {
      const [call, permission] = asks.exec(policy.using ?? "") ?? [];
      if (call === undefined || permission === other) return undefined;
      const to = other === "" ? "auth.uid()" : `private.reader('${other}')`;
      return `alter ${on(policy)} using (${policy.using?.replace(call, to)})`;
    };
    for (const other of ["", "agents:read", "monitoring:read"]) {
      assert.deepEqual(await survivors(instead(other)), [], other);
    }
  });

  test("a policy to read that becomes one for every verb is noticed", async () => {
    const forAll = (policy: Policy) => {
      const expected = owned[policy.table];
      // Owners who may do everything gain nothing by it.
      if (policy.command !== "SELECT" || (expected?.owner === "riud" && !expected.common)) return undefined;
      return `drop ${on(policy)}; create ${on(policy)} for all to ${policy.roles} using (${policy.using})`;
    };
    assert.deepEqual(await survivors(forAll), []);
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
  let filePolicies: Policy[];
  beforeAll(async () => {
    filePolicies = await policiesOf(db, "storage");
  });

  const judge: Judge = (mutation) => fileDeviations(db, files, mutation);

  /** What the matrix overlooks when policies are changed as `change` says: each half alone, or both `together`. */
  async function fileSurvivors(change: (condition: string) => string, together = false): Promise<string[]> {
    const mutations = filePolicies.flatMap((policy) => {
      const halves = halvesOf(policy).map(({ half, condition }) => {
        assert.notEqual(change(condition), condition, `${policy.name}: ${condition} is left as it is`);
        return `${half} (${change(condition)})`;
      });
      return (together ? [halves.join(" ")] : halves).map((changed) => `alter ${on(policy)} ${changed}`);
    });
    assert.equal(mutations.length, together ? 4 : 5);
    return overlooked(judge, mutations);
  }

  const BUCKETS = /\(bucket_id = ANY \(ARRAY\[[^\]]*\]\)\)/;

  test("the matrix holds before anything is changed", async () => {
    assert.deepEqual(await fileDeviations(db, files), []);
  });

  test("a dropped policy is noticed by what no longer works", () => dropEach(judge, filePolicies));

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

  test("a policy added beside the others, and row-level security switched off, are noticed", () =>
    openTo(judge, "storage.objects", "other may r"));
});

describe("mutants of the policies on private topics", () => {
  let topics: TopicCast;
  let topicPolicies: Policy[];
  beforeAll(async () => {
    topics = await addSwarms(db, files);
    topicPolicies = await policiesOf(db, "realtime");
  });

  // The tables behind the policies are open to all, so that no policy of theirs covers for what is missing here.
  const alone = ["agents", "swarms"]
    .map((table) => `alter policy "owners can read their ${table}" on public.${table} using (true);`)
    .join("\n");

  const judge: Judge = (mutation) => topicDeviations(db, topics, alone + mutation);

  test("the matrix holds before anything is changed, and without the policies of the tables behind", async () => {
    assert.deepEqual(await topicDeviations(db, topics), []);
    assert.deepEqual(await judge(""), []);
  });

  test("a dropped policy is noticed by what no longer works", () => dropEach(judge, topicPolicies));

  test("a policy is noticed that lost any part of its condition, or is for one extension alone", async () => {
    const mutations = topicPolicies.flatMap((policy) => [
      ...partsLost(policy),
      ...halvesOf(policy).flatMap(({ half, condition }) =>
        [
          "true",
          "false",
          ...["broadcast", "presence"].map((one) => `(${condition}) and extension = '${one}'`),
        ].map((changed) => `alter ${on(policy)} ${half} (${changed})`),
      ),
    ]);
    assert.equal(mutations.length, 3 * 4 + 2 * (3 + 3 + 5));
    assert.deepEqual(await overlooked(judge, mutations), []);
  });

  test("a policy is noticed that is for other roles or for every verb", async () => {
    const mutations = topicPolicies.flatMap((policy) => [
      `alter ${on(policy)} to public`,
      `alter ${on(policy)} to anon`,
      `drop ${on(policy)}; create ${on(policy)} for all to authenticated using (${policy.using ?? policy.check})`,
    ]);
    assert.deepEqual(await overlooked(judge, mutations), []);
  });

  test("a part of the owner's rule that is lost is noticed, and so is the permission", async () => {
    const { rows } = await db.superuser.query<{ rule: string }>(
      "select pg_get_functiondef('private.owns_topic(text)'::regprocedure) as rule",
    );
    const rule = rows[0]?.rule ?? "";
    const arms = [...rule.matchAll(/(?<=WHEN |THEN |ELSE )(.+?)(?= WHEN | THEN | ELSE | END)/g)].map(
      ([arm]) => arm,
    );
    assert.equal(arms.length, 5, rule);
    const reader = "private.reader('agents:read'::text)";
    const changed = [
      ...arms.flatMap((arm) =>
        ["true", "false"].filter((to) => to !== arm).map((to) => rule.replace(arm, to)),
      ),
      ...operandsOf(rule).map((operand) => rule.replace(operand, "true")),
      ...[...rule.matchAll(/private\.reader\('agents:read'::text\)/g)].map(
        ({ index }) => `${rule.slice(0, index)}auth.uid()${rule.slice(index + reader.length)}`,
      ),
    ];
    assert.equal(changed.length, 9 + 2 + 2);
    const ofSwarms = topicPolicies.filter(({ using }) => using?.includes(reader));
    assert.equal(ofSwarms.length, 1);
    changed.push(
      ...ofSwarms.map(
        (policy) => `alter ${on(policy)} using (${policy.using?.replace(reader, "auth.uid()")})`,
      ),
    );
    assert.deepEqual(await overlooked(judge, changed), []);
  });

  test("a policy added beside the others, and row-level security switched off, are noticed", () =>
    openTo(judge, "realtime.messages", "owner may read elsewhere"));
});

describe("mutants of the policies on scheduled jobs", () => {
  test("a role reaches its own jobs and runs alone; each change of a policy is noticed", async () => {
    assert.deepEqual(await jobDeviations(db), []);
    for (const policy of await policiesOf(db, "cron")) {
      const table = `${policy.schema}.${policy.table}`;
      for (const mutation of [
        `drop ${on(policy)}`,
        `alter ${on(policy)} using (true)`,
        `alter ${on(policy)} using (false)`,
        `alter ${on(policy)} to anon`,
        `alter table ${table} disable row level security`,
      ]) {
        const found = await jobDeviations(db, mutation);
        assert.ok(
          found.some((line) => line.includes(`from ${table}`)),
          `${mutation}: ${found}`,
        );
      }
      swept.add(on(policy));
    }
  });
});

test("no policy of the database is left out", async () => {
  assert.deepEqual([...swept].sort(), (await policiesOf(db)).map(on).sort());
});

test("no policy is for more roles than users who signed in, but those of the catalogue and of scheduled jobs", async () => {
  const others = (await policiesOf(db)).filter(({ roles }) => roles.join() !== "authenticated");
  assert.deepEqual(
    others.map(({ table, roles }) => `${table}: ${roles}`),
    [
      "job: public",
      "job_run_details: public",
      "frameworks: anon,authenticated",
      "model_prices: anon,authenticated",
      "models: anon,authenticated",
    ],
  );
});
