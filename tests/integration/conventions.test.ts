// How the schema is written: policies where they are made, one way to raise, a verb in one place, no hidden session variables.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

const folder = join(import.meta.dirname, "../../supabase/schemas");
/** The schema files without their comments. */
const files = new Map(
  readdirSync(folder).map((name) => [
    name,
    readFileSync(join(folder, name), "utf8").replaceAll(/^\s*--.*$|\s--\s.*$/gm, ""),
  ]),
);

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.destroy());

test("no policy is changed after it is made", () => {
  for (const [name, text] of files) assert.doesNotMatch(text, /\balter\s+policy\b/i, name);
});

describe("errors", () => {
  /** Every statement that raises, and does not only tell. */
  const RAISE = /\braise\b(?!_)(?!\s*;)(?!\s+(?:notice|warning|info|log|debug)\b)/gi;
  const ALLOWED: Record<string, string> = {
    raise_error: "the one way",
    tg_rows__own: "uses the words of row-level security, which answers the same way",
    count_files: "is asked by Storage, which passes on no other code",
    probe_isolation: "undoes its own rows, and catches it",
  };

  test("are raised by private.raise_error alone", async () => {
    const { rows } = await db.pool.query<{ name: string; source: string }>(
      `select p.proname as name, p.prosrc as source from pg_proc p
       where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and p.prosqlbody is null`,
    );
    assert.ok(rows.length > 300);
    const raising = rows.filter(({ source }) => source.replaceAll(/--.*$/gm, "").match(RAISE));
    assert.deepEqual(
      raising.map(({ name }) => name).filter((name) => !(name in ALLOWED)),
      [],
      "call private.raise_error(code, message, details)",
    );
  });

  test("are raised by no block outside a function", () => {
    for (const [name, text] of files) {
      for (const block of text.match(/^do \$\$.*?^\$\$;/gms) ?? []) assert.doesNotMatch(block, RAISE, name);
    }
  });
});

test("the schema sets three session variables: permissions, the agent of a verb, and sound tables", () => {
  const set = [...files.values()].flatMap((text) =>
    [...text.matchAll(/set_config\('(launchpad\.\w+)'/g)].map(([, name]) => name),
  );
  assert.deepEqual([...new Set(set)].sort(), [
    "launchpad.agent_tables_sound_until",
    "launchpad.permissions",
    "launchpad.written_by_verb",
  ]);
});

describe("a verb", () => {
  test("has one function, one RPC for signed-in users alone, and a comment", async () => {
    const { rows } = await db.pool.query<Record<string, string>>(
      `select v.name,
         (select count(*) from pg_proc p where p.pronamespace = 'private'::regnamespace and p.proname = 'verb_' || v.name
            and pg_get_function_identity_arguments(p.oid) = 'caller uuid, args jsonb') as verbs,
         (select count(*) from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname = v.name) as rpcs,
         (select string_agg(format('%s%s%s%s%s%s',
              case when not p.prosrc like '%private.handle(''' || v.name || '''%' then 'calls another verb; ' end,
              case when p.prosecdef then 'is a definer; ' end,
              case when not has_function_privilege('authenticated', p.oid, 'execute') then 'not for users; ' end,
              case when has_function_privilege('anon', p.oid, 'execute') then 'for anon; ' end,
              case when has_function_privilege('service_role', p.oid, 'execute') then 'for service_role; ' end,
              case when obj_description(p.oid, 'pg_proc') is null then 'no comment' end), '')
          from pg_proc p where p.pronamespace = 'public'::regnamespace and p.proname = v.name) as faults
       from private.verbs v order by v.name`,
    );
    assert.ok(rows.length > 30);
    const wrong = rows.filter(({ verbs, rpcs, faults }) => verbs !== "1" || rpcs !== "1" || faults !== "");
    assert.deepEqual(wrong, []);
  });

  test("is the only thing that an RPC hands to private.handle", async () => {
    const { rows } = await db.pool.query(
      `select p.proname as name from pg_proc p
       where p.prosrc ~ 'private\\.handle\\(' and p.pronamespace = 'public'::regnamespace
         and p.proname not in (select v.name from private.verbs v)`,
    );
    assert.deepEqual(rows, []);
  });

  test("is known by its function to the pre-request, so no other function looks like one", async () => {
    const { rows } = await db.pool.query(
      `select p.proname as name from pg_proc p
       where p.pronamespace = 'private'::regnamespace and p.proname like 'verb\\_%'
         and oidvectortypes(p.proargtypes) = 'uuid, jsonb'
         and substr(p.proname, 6) not in (select v.name from private.verbs v)`,
    );
    assert.deepEqual(rows, []);
  });

  test("stands with its permission, RPC and grants in one file", async () => {
    const { rows } = await db.pool.query<{ name: string }>("select name from private.verbs order by name");
    const apart = rows.flatMap(({ name }) => {
      const places = [
        new RegExp(`insert into private\\.verbs [^;]*\\('${name}',`),
        new RegExp(`create function public\\.${name}\\(`),
        new RegExp(
          `revoke execute on function [^;]*public\\.${name}\\([^;]*from public, anon, service_role;`,
        ),
        new RegExp(`grant execute on function [^;]*public\\.${name}\\([^;]*to authenticated;`),
        new RegExp(`comment on function public\\.${name}\\(`),
      ].map((place) => [...files].filter(([, text]) => place.test(text)).map(([file]) => file));
      return new Set(places.map((found) => found.join())).size === 1 && places[0]?.length === 1
        ? []
        : [`${name}: ${places.map((found) => found.join(" and ") || "nowhere").join(", ")}`];
    });
    assert.deepEqual(apart, []);
  });
});
