// docs/schema.md, docs/triggers.md and supabase/catalogue.txt are what a migrated database says of itself.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { catalogueText } from "../../scripts/catalogue-text.ts";
import { schemaReference } from "../../scripts/schema-reference.ts";
import { triggerReference } from "../../scripts/trigger-reference.ts";
import { type TestDatabase, withDatabase } from "../helpers/database.ts";

const root = join(import.meta.dirname, "../..");

const GENERATED: [file: string, read: (db: TestDatabase) => Promise<string>][] = [
  ["docs/schema.md", (db) => schemaReference(db.pool)],
  ["docs/triggers.md", (db) => triggerReference(db.pool, root)],
  [
    "supabase/catalogue.txt",
    async (db) => {
      const client = await db.pool.connect();
      try {
        return await catalogueText(client);
      } finally {
        client.release();
      }
    },
  ],
];

for (const [file, read] of GENERATED)
  test(`${file} is current (UPDATE_DOCS=1 writes it)`, async () => {
    const text = await withDatabase(read);
    const path = join(root, file);
    if (process.env.UPDATE_DOCS === "1") writeFileSync(path, text);
    assert.equal(readFileSync(path, "utf8"), text);
  });

test("every table and function is described", async () => {
  const text = await withDatabase((db) => schemaReference(db.pool));
  assert.deepEqual(text.match(/^### \w+\n\n(\n| Changes)/gm), null);
  assert.deepEqual(text.match(/^\| `\w+` \| .* \| {2}\|$/gm), null);
});

test("every trigger of agents says first what it does", async () => {
  const text = await withDatabase((db) => triggerReference(db.pool, root));
  const rows = text.split("\n").filter((line) => line.startsWith("| `_"));
  assert.ok(rows.length > 15);
  for (const row of rows) assert.doesNotMatch(row, /\| (?:Definer|The same|`)[^|]*\|$/);
});

test("a column, a policy, a trigger, a grant and a function more are seen in supabase/catalogue.txt", async () => {
  await withDatabase(async (db) => {
    const client = await db.pool.connect();
    try {
      const before = new Set((await catalogueText(client)).split("\n"));
      await client.query(`
        grant update (id) on public.swarms to authenticated;
        grant select on public.swarms to anon;
        create policy "all may see" on public.swarms for select to anon using (true);
        create function private.shout() returns trigger language plpgsql security definer as 'begin return new; end';
        create trigger _999_shout before insert on public.swarms for each row execute function private.shout()`);
      const added = (await catalogueText(client)).split("\n").filter((line) => !before.has(line));
      assert.deepEqual(added, [
        "private.shout() returns trigger: plpgsql, volatile, definer; nobody",
        "CREATE TRIGGER _999_shout BEFORE INSERT ON public.swarms FOR EACH ROW EXECUTE FUNCTION private.shout()",
        '"all may see" on public.swarms: select to anon using true',
        "public.swarms: row-level security; anon: SELECT; authenticated: DELETE, SELECT; service_role: DELETE, INSERT, SELECT, UPDATE",
        "public.swarms.id; authenticated: UPDATE",
      ]);
    } finally {
      client.release();
    }
  });
});
