// squawk, a linter of PostgreSQL's SQL, finds nothing in the schema files and in migrations that come after a release.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, test } from "vitest";
import { FIRST_MIGRATION } from "../migration/schemas.ts";

const root = resolve(import.meta.dirname, "../..");

/** An integer is right for what has a bound: replicas, seconds, places. Numbers that grow with use are bigint. */
const NEVER = ["prefer-bigint-over-int"];
/** Nobody waits for a lock while tables are made: these matter where there are rows, in later migrations. */
const WHERE_ROWS_ARE = [
  "require-timeout-settings",
  "require-concurrent-index-creation",
  "constraint-missing-not-valid",
];

/** @returns what squawk says of the files, one line each; empty when it finds nothing */
function squawk(files: readonly string[], exclude: readonly string[]): string {
  const { stdout, stderr, status, error } = spawnSync(
    join(root, "node_modules/.bin/squawk"),
    [
      ...["--assume-in-transaction", "--pg-version", "17", "--reporter", "Gcc"],
      ...["--include", "require-table-schema", "--exclude", exclude.join(",")],
      ...files,
    ],
    { cwd: root, encoding: "utf8", shell: process.platform === "win32" },
  );
  if (error !== undefined) throw error;
  return status === 0 ? "" : stdout + stderr;
}

const filesOf = (folder: string, but = "") =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".sql") && name !== but)
    .map((name) => join(folder, name));

describe("squawk finds nothing", () => {
  test("in the schema files", () => {
    assert.equal(squawk(filesOf("supabase/schemas"), [...NEVER, ...WHERE_ROWS_ARE]), "");
  });

  test("in the migrations after the first, where rows are there and wait", () => {
    const later = filesOf("supabase/migrations", FIRST_MIGRATION);
    if (later.length > 0) assert.equal(squawk(later, NEVER), "");
  });
});

describe("squawk finds", () => {
  for (const [what, sql, rule] of [
    ["a misspelt statement", "create tabel private.a (id bigint);", "syntax-error"],
    ["a comma too many", "create table private.a (id bigint,);", "syntax-error"],
    ["a table without its schema", "create table a (id bigint primary key);", "require-table-schema"],
    ["a time without a zone", "create table private.a (at timestamp);", "prefer-timestamp-tz"],
    ["a serial", "create table private.a (id bigserial primary key);", "prefer-identity"],
    ["a length as a type", "create table private.a (name varchar(20));", "prefer-text-field"],
  ] as const)
    test(what, (t) => {
      const folder = mkdtempSync(join(tmpdir(), "launchpad-squawk-"));
      t.onTestFinished(() => rmSync(folder, { recursive: true }));
      const file = join(folder, "a.sql");
      writeFileSync(file, `${sql}\n`);
      assert.match(
        squawk([file], [...NEVER, ...WHERE_ROWS_ARE]),
        new RegExp(`: (?:error|warning): ${rule} `),
      );
    });
});
