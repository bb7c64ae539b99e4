// The schema files: listed once and in order, and the first migration made of them.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "vitest";
import { rowStatements } from "./next.ts";
import { FIRST_MIGRATION, firstMigration, listedSchemas, schemaFiles, unreleasedFaults } from "./schemas.ts";

const config = (...names: string[]) =>
  `project_id = "x"\n[db.migrations]\nschema_paths = [\n${names.map((name) => `  "./schemas/${name}",\n`).join("")}]\n`;

test("the list gives the order", () => {
  assert.deepEqual(listedSchemas(config("b.sql", "a.sql")), ["b.sql", "a.sql"]);
  assert.deepEqual(listedSchemas("[db.seed]\nenabled = true\n"), []);
});

describe("a checkout", () => {
  for (const [why, listed, says] of [
    ["with a file that is not listed", ["a.sql"], /^List supabase\/schemas\/b\.sql once/],
    ["with one listed twice", ["a.sql", "b.sql", "a.sql"], /^List supabase\/schemas\/a\.sql once/],
    ["with one that is missing", ["a.sql", "b.sql", "c.sql"], /lists schemas\/c\.sql, which is missing/],
    ["with each listed once", ["b.sql", "a.sql"], undefined],
  ] as const)
    test(why, (t) => {
      const folder = mkdtempSync(join(tmpdir(), "launchpad-schemas-test-"));
      t.onTestFinished(() => rmSync(folder, { recursive: true }));
      mkdirSync(join(folder, "supabase/schemas"), { recursive: true });
      writeFileSync(join(folder, "supabase/config.toml"), config(...listed));
      for (const name of ["a.sql", "b.sql"])
        writeFileSync(join(folder, "supabase/schemas", name), `-- ${name}\n`);
      if (says !== undefined) assert.throws(() => schemaFiles(folder), { message: says });
      else
        assert.deepEqual(
          schemaFiles(folder).map(({ text }) => text),
          ["-- b.sql\n", "-- a.sql\n"],
        );
    });
});

describe("before the first release", () => {
  const files = [
    { name: "b.sql", text: "create table b ();\n" },
    { name: "a.sql", text: "create table a ();" },
  ];
  const migration = firstMigration(files);

  test("the migration is the files in order, each under its name", () => {
    assert.match(
      migration,
      /-- supabase\/schemas\/b\.sql\n\ncreate table b \(\);\n\n-- .*a\.sql\n\ncreate table a \(\);\n$/,
    );
  });

  for (const [why, migrations, says] of [
    ["current", { [FIRST_MIGRATION]: migration }, []],
    ["missing", {}, [/run `npm run migration`/]],
    ["edited by hand", { [FIRST_MIGRATION]: `${migration} ` }, [/run `npm run migration`/]],
    ["not alone", { [FIRST_MIGRATION]: migration, "2_b.sql": "" }, [/move supabase\/migrations\/2_b\.sql/]],
  ] as [string, Record<string, string>, RegExp[]][])
    test(why, () => {
      const found = unreleasedFaults(files, migrations);
      assert.equal(found.length, says.length);
      for (const [at, text] of says.entries()) assert.match(found[at] ?? "", text);
    });
});

describe("rows of the next migration", () => {
  const table = (name: string, ...rows: Record<string, unknown>[]) => ({
    table: name,
    columns: ["name", "value"],
    key: ["name"],
    rows,
  });
  for (const [why, name, present, wanted, says] of [
    ["a new one is inserted", "public.models", [], [{ name: "a", value: 1 }], /on conflict do nothing$/],
    [
      "an operator's own value stays",
      "public.models",
      [{ name: "a", value: 2 }],
      [{ name: "a", value: 1 }],
      undefined,
    ],
    [
      "one of the code changes",
      "private.verbs",
      [{ name: "a", value: 2 }],
      [{ name: "a", value: 1 }],
      /on conflict \(name\) do update set value = excluded\.value$/,
    ],
    [
      "times and identifiers that a database makes are no difference",
      "private.verbs",
      [{ name: "a", value: "2026-11-30T14:29:01+00:00" }],
      [{ name: "a", value: "2026-11-30T14:29:02+00:00" }],
      undefined,
    ],
  ] as [string, string, Record<string, unknown>[], Record<string, unknown>[], RegExp | undefined][])
    test(why, () => {
      const statements = rowStatements([table(name, ...present)], [table(name, ...wanted)]);
      assert.equal(statements.length, says === undefined ? 0 : 1);
      if (says !== undefined) assert.match(statements[0] ?? "", says);
    });
});
