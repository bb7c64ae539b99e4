// docs/architecture.md lists every file of supabase/schemas, and none that is gone.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "vitest";

const root = resolve(import.meta.dirname, "../..");

test("the list of schema files names each once", () => {
  const page = readFileSync(join(root, "docs/architecture.md"), "utf8");
  const section =
    page.split(/^## /m).find((text) => text.startsWith("Schema\n")) ?? assert.fail("no section");
  const listed = [...section.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, names = ""]) =>
    [...names.matchAll(/`(\w+)`/g)].map(([, name]) => `${name}.sql`),
  );
  const files = readdirSync(join(root, "supabase/schemas")).filter((name) => name.endsWith(".sql"));
  assert.deepEqual(listed.sort(), files.sort());
});
