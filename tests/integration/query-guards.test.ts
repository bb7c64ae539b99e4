// What a client's query may ask, judged in SQL: no estimates, bounded statements, calm patterns. As PostgREST connects: the login
// authenticator, its search path, the caller's role and claims.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { codeOf } from "../helpers/answering.ts";
import { type Caller, createTestDatabase, type TestDatabase, type TestUser } from "../helpers/database.ts";
import { user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: TestUser;

beforeAll(async () => {
  db = await createTestDatabase();
  alice = await db.createUser();
});
afterAll(() => db.destroy());

const ask = (sql: string, values: unknown[] = [], caller: Caller = user(alice.id)) =>
  db.as(caller, async (client) => {
    const { rows } = await client.query("select current_setting('pgrst.db_extra_search_path') as path");
    await client.query("select set_config('search_path', $1, true)", [rows[0].path]);
    return (await client.query(sql, values)).rows;
  });

describe("estimates", () => {
  test("of every table with users' rows are refused", async () => {
    const { rows } = await db.pool.query<{ name: string }>(
      `select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'user_id'
       where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
         and has_any_column_privilege('authenticated', c.oid, 'SELECT')`,
    );
    assert.ok(rows.length > 20);
    const answered: string[] = [];
    for (const { name } of rows) {
      for (const explain of ["EXPLAIN (FORMAT JSON)", " explain analyze"]) {
        const refused = await codeOf(ask(`${explain} select 1 from public.${name}`)).catch(() => undefined);
        if (refused?.code !== "VALIDATION_ERROR") answered.push(name);
      }
    }
    assert.deepEqual(
      answered,
      [],
      "a policy for select needs `limit private.one_row()` behind its look-up of who is reading",
    );
  });

  for (const [role, headers, refused] of [
    ["authenticated", { prefer: "count=planned" }, true],
    ["anon", { prefer: "count=estimated" }, true],
    ["authenticated", { prefer: "return=representation , count=planned" }, true],
    ["authenticated", { prefer: "\tCount=Estimated,timezone=UTC" }, true],
    ["authenticated", { accept: 'application/vnd.pgrst.plan+text; for="application/json"' }, true],
    ["authenticated", { prefer: "count=exact" }, false],
    ["anon", { prefer: "return=minimal" }, false],
    ["service_role", { prefer: "count=planned" }, false],
  ] as const) {
    for (const [method, path] of [
      ["GET", "/agents"],
      ["HEAD", "/agents"],
      ["POST", "/rpc/list_agents"],
      ["GET", "/rpc/health_check"],
      ["POST", "/rpc/graphql"],
    ]) {
      test(`${role} ${method} ${path} ${JSON.stringify(headers)}: ${refused ? "refused" : "passes"}`, async () => {
        const caller: Caller = { role, headers, ...(role === "authenticated" ? { user: alice } : {}) };
        const asked = db.as(caller, async (client) => {
          if (method !== "POST") await client.query("set transaction read only");
          await client.query(
            "select set_config('request.method', $1, true), set_config('request.path', $2, true)",
            [method, path],
          );
          await client.query("select private.pre_request()");
        });
        if (!refused) return await asked;
        const { code, details } = await codeOf(asked);
        assert.equal(code, "VALIDATION_ERROR");
        assert.match(details.Prefer ?? "", /count=exact/);
      });
    }
  }
});

test("a statement of more than 32 KiB is refused before it runs", async () => {
  const wide = (n: number) =>
    `select 1 from public.agents where ${Array.from({ length: n }, (_, i) => `name = '${i}'`).join(" or ")}`;
  assert.deepEqual(await ask(wide(500)), []);
  const { code, details } = await codeOf(ask(wide(3000)));
  assert.equal(code, "VALIDATION_ERROR");
  assert.match(details.select ?? "", /fewer filters/);
});

describe("patterns", () => {
  const long = "x".repeat(201);
  for (const [pattern, calm] of [
    ["^[a-z]{2,5}-[0-9]+$", true],
    ["^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", true],
    ["(?:yes|no) \\d{4}", true],
    [long, false],
    ["(ab)+", false],
    ["(ab) {2}", false],
    ["(ab)\\1", false],
    ["(?=ab)", false],
    ["(?<!ab)", false],
    ["(?x)(ab) #\n+", false],
    ["(?<name>ab)", false],
    ["***:(ab)", false],
    ["a+b+c+d+", false],
    ["a{1,}b{2,}c*d*", false],
    ["a{200}b{57}", false],
    ["a{99999999999999999999}", false],
    ["a?".repeat(21), false],
    [`(${"a|".repeat(21)}a)`, false],
  ] as const) {
    test(`${JSON.stringify(pattern.slice(0, 40))} is ${calm ? "" : "not "}calm`, async () => {
      const { rows } = await db.pool.query("select private.is_calm_pattern($1) as calm", [pattern]);
      assert.equal(rows[0].calm, calm);
    });
  }

  const costly = { "~": "(ab)+", "~*": "(ab)+", like: "%a".repeat(9), ilike: "%a".repeat(9) };
  const calm = { "~": "^a", "~*": "^A", like: "a%", ilike: "A%" };
  for (const operator of ["~", "~*", "like", "ilike"] as const) {
    for (const [form, sql] of [
      ["plain", `name ${operator} $1`],
      ["negated", `not name ${operator} $1`],
      ["nested", `(id = 'x' or (not (name ${operator} $1 and role = 'y')))`],
      ["of a JSON value", `settings ->> 'model' ${operator} $1`],
    ] as const) {
      test(`${operator}, ${form}: a costly pattern is refused, a calm one is not`, async () => {
        const { code, details } = await codeOf(
          ask(`select 1 from public.agents where ${sql}`, [costly[operator]]),
        );
        assert.equal(code, "VALIDATION_ERROR");
        assert.match(details.pattern ?? "", /at most 200 characters/);
        await ask(`select 1 from public.agents where ${sql}`, [calm[operator]]);
      });
    }
    test(`${operator} any(…): a costly pattern among calm ones is refused`, async () => {
      await ask("insert into public.agents (name) values ('abc')");
      const asked = ask(`select 1 from public.agents where name ${operator} any ($1)`, [
        ["zzz", costly[operator]],
      ]);
      assert.equal((await codeOf(asked)).code, "VALIDATION_ERROR");
    });
    test(`${operator} finds what pg_catalog's finds`, async () => {
      const { rows } = await db.pool.query(
        `select 'abc' ${operator} $1 as there, 'bcd' ${operator} $1 as absent, null ${operator} $1 as nothing`,
        [calm[operator]],
      );
      const mine = await ask(
        `select 'abc'::text ${operator} $1 as there, 'bcd'::text ${operator} $1 as absent, null::text ${operator} $1 as nothing`,
        [calm[operator]],
      );
      assert.deepEqual(mine, rows);
    });
  }

  test("no column that clients read has a type with other operators of patterns", async () => {
    const { rows } = await db.pool.query(
      `select c.relname, a.attname, format_type(a.atttypid, null) as type from pg_class c join pg_attribute a on a.attrelid = c.oid
       where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped
         and has_column_privilege('authenticated', c.oid, a.attnum, 'SELECT')
         and exists (select from pg_operator o where o.oprname in ('~', '~*', '~~', '~~*') and o.oprleft = a.atttypid
           and not (o.oprleft = 'text'::regtype and o.oprright = 'text'::regtype))`,
    );
    assert.deepEqual(rows, []);
  });
});
