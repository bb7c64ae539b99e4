// docs/schema.md is what a migrated database says of itself.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { schemaReference } from "../../scripts/schema-reference.ts";
import { withDatabase } from "../helpers/database.ts";

const file = join(import.meta.dirname, "../../docs/schema.md");

test("docs/schema.md is current (UPDATE_DOCS=1 writes it)", async () => {
  const text = await withDatabase((db) => schemaReference(db.pool));
  if (process.env.UPDATE_DOCS === "1") writeFileSync(file, text);
  assert.equal(readFileSync(file, "utf8"), text);
});

test("every table and function is described", async () => {
  const text = await withDatabase((db) => schemaReference(db.pool));
  assert.deepEqual(text.match(/^### \w+\n\n(\n| Changes)/gm), null);
  assert.deepEqual(text.match(/^\| `\w+` \| .* \| {2}\|$/gm), null);
});
