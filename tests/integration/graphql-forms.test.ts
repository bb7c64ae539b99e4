// pg_graphql's forms for what this product's own tables do not have: views, enums, functions, aggregates, lengths, other roles.
import assert from "node:assert/strict";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { Engine } from "../../packages/local-supabase/src/graphql/engine.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase } from "../helpers/sql-api.ts";

let db: TestDatabase;
let pool: pg.Pool;
let engine: Engine;

const SETUP = `
  create schema if not exists extensions;
  create extension if not exists citext schema extensions;
  create type public.zoo_mood as enum ('very glad', 'calm');
  comment on type public.zoo_mood is '@graphql({"mappings": {"very glad": "VERY_GLAD"}})';
  create table public.zoo_keepers (id int primary key, name extensions.citext not null);
  create table public.zoo_animals (
    id int primary key, code char(4), flags bit(3), weight numeric, mood public.zoo_mood, born date,
    keeper_id int references public.zoo_keepers
  );
  comment on table public.zoo_animals is '@graphql({"aggregate": {"enabled": true}, "totalCount": {"enabled": true}})';
  create view public.zoo_calm as select id, code, keeper_id from public.zoo_animals where mood = 'calm';
  comment on view public.zoo_calm is '@graphql({"primary_key_columns": ["id"], "foreign_keys": [{"local_name": "calmOnes",
    "local_columns": ["keeper_id"], "foreign_name": "looksAfter", "foreign_schema": "public", "foreign_table": "zoo_keepers",
    "foreign_columns": ["id"]}]})';
  create function public._zoo_title(animal public.zoo_animals) returns text stable language sql
    as $$ select animal.code || '!' $$;
  create function public.zoo_heavier(than numeric default 5) returns setof public.zoo_animals stable language sql
    as $$ select * from public.zoo_animals where weight > than order by id $$;
  create function public.zoo_born(id int) returns date stable language sql
    as $$ select a.born from public.zoo_animals a where a.id = zoo_born.id $$;
  create function public.zoo_feed(id int, kilos numeric) returns public.zoo_animals volatile language sql
    as $$ update public.zoo_animals a set weight = a.weight + kilos where a.id = zoo_feed.id returning a.* $$;
  create role zoo_visitor nologin in role anon;
  grant usage on schema public to zoo_visitor;
  grant zoo_visitor to authenticator;
  grant select on public.zoo_animals to zoo_visitor;
  grant all on public.zoo_keepers, public.zoo_animals, public.zoo_calm to service_role;
  grant execute on function public._zoo_title, public.zoo_heavier, public.zoo_born, public.zoo_feed to service_role;
  insert into public.zoo_keepers values (1, 'Ann');
  insert into public.zoo_animals values (1, 'lion', '101', 190.5, 'calm', '2020-02-29', 1), (2, 'ant', '010', 0.001, 'very glad', null, 1);
`;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  await db.superuser.query(SETUP);
  pool = new pg.Pool({ connectionString: db.url("authenticator"), max: 2 });
  engine = new Engine(pool);
});
afterAll(async () => {
  await pool.end();
  await db.superuser.query("drop owned by zoo_visitor; drop role zoo_visitor");
  await db.destroy();
});

async function ask(query: string, role = "service_role", variables?: Record<string, unknown>) {
  const identity = {
    role,
    sub: undefined,
    claims: { role },
    json: JSON.stringify({ role }),
    expiresAt: undefined,
  };
  const { status, body } = await engine.answer(
    { identity, headers: {} },
    { query, variables, operationName: undefined, mayChange: true },
  );
  // As it goes over the wire.
  return {
    status,
    ...(JSON.parse(JSON.stringify(body)) as { data?: unknown; errors?: { message: string }[] }),
  };
}

const data = async (query: string, role?: string, variables?: Record<string, unknown>) => {
  const answer = await ask(query, role, variables);
  assert.equal(answer.errors, undefined, JSON.stringify(answer.errors));
  return answer.data;
};

describe("lengths", () => {
  test("char(n) and bit(n) are stored whole", async () => {
    const made =
      await data(`mutation { insertIntoZooAnimalsCollection(objects: [{id: 10, code: "wolf", flags: "110"}])
      { records { code flags } } }`);
    assert.deepEqual(made, { insertIntoZooAnimalsCollection: { records: [{ code: "wolf", flags: "110" }] } });
    assert.deepEqual(await data(`{ zooAnimalsCollection(filter: {code: {eq: "wolf"}}) { totalCount } }`), {
      zooAnimalsCollection: { totalCount: 1 },
    });
    await db.pool.query("delete from zoo_animals where id = 10");
  });

  test("a text longer than its column is refused, and nothing is stored", async () => {
    const { data: given, errors } = await ask(
      `mutation { insertIntoZooAnimalsCollection(objects: [{id: 11, code: "wolves"}]) { affectedCount } }`,
    );
    assert.equal(given, null);
    assert.equal(errors?.[0]?.message, "Invalid input for String type. Maximum character length 4");
  });

  test("BigFloat is a text", async () => {
    const { errors } = await ask(`{ zooAnimalsCollection(filter: {weight: {gt: 1.5}}) { totalCount } }`);
    assert.equal(errors?.[0]?.message, "Invalid input for BigFloat type. String required");
  });
});

test("citext in another schema is a String", async () => {
  assert.deepEqual(
    await data(`{ zooKeepersCollection(filter: {name: {eq: "ANN"}}) { edges { node { name } } } }`),
    {
      zooKeepersCollection: { edges: [{ node: { name: "Ann" } }] },
    },
  );
});

test("an enum's values have the names of its comment, in and out", async () => {
  const wanted = { zooAnimalsCollection: { edges: [{ node: { mood: "VERY_GLAD" } }] } };
  const query = (value: string) =>
    `{ zooAnimalsCollection(filter: {mood: {eq: ${value}}}) { edges { node { mood } } } }`;
  assert.deepEqual(await data(query("VERY_GLAD")), wanted);
  assert.deepEqual(await data(query('"VERY_GLAD"')), wanted);
});

test("a view is shown by the keys that its comment names", async () => {
  assert.deepEqual(await data(`{ zooCalmCollection { edges { node { code looksAfter { name } } } } }`), {
    zooCalmCollection: { edges: [{ node: { code: "lion", looksAfter: { name: "Ann" } } }] },
  });
  assert.deepEqual(
    await data(`{ zooKeepersCollection { edges { node { calmOnes { edges { node { id } } } } } } }`),
    {
      zooKeepersCollection: { edges: [{ node: { calmOnes: { edges: [{ node: { id: 1 } }] } } }] },
    },
  );
});

test("aggregates are of all rows that match, whatever the page", async () => {
  assert.deepEqual(
    await data(`{ zooAnimalsCollection(first: 1) { edges { node { id } }
      aggregate { n: count sum { weight id } min { code } max { born } } } }`),
    {
      zooAnimalsCollection: {
        edges: [{ node: { id: 1 } }],
        aggregate: {
          n: 2,
          sum: { weight: 190.501, id: 3 },
          min: { code: "ant " },
          max: { born: "2020-02-29" },
        },
      },
    },
  );
});

describe("functions", () => {
  test("of a row are fields of it, also in what a mutation gives", async () => {
    assert.deepEqual(await data(`{ zooAnimalsByPk(id: 1) { zooTitle keeper { name } } }`), {
      zooAnimalsByPk: { zooTitle: "lion!", keeper: { name: "Ann" } },
    });
    const made = await data(`mutation { updateZooAnimalsCollection(set: {code: "lynx"}, filter: {id: {eq: 1}})
      { records { zooTitle } } }`);
    assert.deepEqual(made, { updateZooAnimalsCollection: { records: [{ zooTitle: "lynx!" }] } });
    await db.pool.query("update zoo_animals set code = 'lion' where id = 1");
  });

  test("give pages of rows, rows and values, with their defaults", async () => {
    assert.deepEqual(
      await data(`{ zooHeavier { edges { node { code zooTitle } } pageInfo { hasNextPage } }
        all: zooHeavier(than: "0", first: 1) { edges { node { id } } pageInfo { hasNextPage } } zooBorn(id: 1) }`),
      {
        zooHeavier: {
          edges: [{ node: { code: "lion", zooTitle: "lion!" } }],
          pageInfo: { hasNextPage: false },
        },
        all: { edges: [{ node: { id: 1 } }], pageInfo: { hasNextPage: true } },
        zooBorn: "2020-02-29",
      },
    );
  });

  test("that change something are called in a mutation, once", async () => {
    const fed = await data(`mutation { zooFeed(id: 1, kilos: "2") { weight } }`);
    assert.deepEqual(fed, { zooFeed: { weight: "192.5" } });
    assert.match(
      (await ask(`{ zooFeed(id: 1, kilos: "2") { weight } }`)).errors?.[0]?.message ?? "",
      /zooFeed/,
    );
    await db.pool.query("update zoo_animals set weight = 190.5 where id = 1");
  });

  test("that a role may not execute are not there for it", async () => {
    await db.superuser.query("revoke execute on function public.zoo_born from public");
    const { errors } = await ask("{ zooBorn(id: 1) }", "zoo_visitor");
    assert.match(errors?.[0]?.message ?? "", /zooBorn/);
  });
});

describe("roles", () => {
  test("a role of the project's own is served what it may read", async () => {
    assert.deepEqual(await data("{ zooAnimalsCollection { edges { node { id } } } }", "zoo_visitor"), {
      zooAnimalsCollection: { edges: [{ node: { id: 1 } }, { node: { id: 2 } }] },
    });
    assert.match(
      (await ask("{ zooKeepersCollection { edges { node { id } } } }", "zoo_visitor")).errors?.[0]?.message ??
        "",
      /zooKeepersCollection/,
    );
  });

  test("a role that requests may not have is refused, known or not", async () => {
    for (const role of ["supabase_admin", "postgres", "no_such_role", ""]) {
      assert.equal((await ask("{ __typename }", role)).status, 403, role);
    }
  });
});

test("a variable may be a list of nullable elements, or one for a list", async () => {
  const query =
    "query ($order: [ZooAnimalsOrderBy], $ids: Int!) { zooAnimalsCollection(orderBy: $order, filter: {id: {in: $ids}}) { totalCount } }";
  assert.deepEqual(await data(query, "service_role", { order: [{ id: "DescNullsLast" }, null], ids: 2 }), {
    zooAnimalsCollection: { totalCount: 1 },
  });
});

test("another table's nodeId is refused", async () => {
  const nodeId = Buffer.from('["public", "zoo_keepers", 1]').toString("base64");
  const { errors } = await ask(
    `{ zooAnimalsCollection(filter: {nodeId: {eq: "${nodeId}"}}) { totalCount } }`,
  );
  assert.equal(errors?.[0]?.message, "nodeId belongs to a different collection");
});
