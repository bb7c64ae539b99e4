// Releases: released migrations stay as they were, every place names one version, the change log is cut.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "vitest";
import { releaseOf } from "../release.ts";
import { checksum, migrationsOf, RELEASED_FILE, type Released, released, violations } from "./migrations.ts";
import { changeLogOf, isLater, placesOf, versionOf, versionsAt, withVersion } from "./versions.ts";

const root = resolve(import.meta.dirname, "../..");
const LATER = "99.0.0";

describe("this checkout", () => {
  test("has every released migration as it was released, and new ones come after", () => {
    assert.deepEqual(violations(released(root), migrationsOf(root)), []);
  });

  test("names one version everywhere", () => {
    const version = versionOf(root);
    for (const place of placesOf(root)) {
      const found = versionsAt(readFileSync(join(root, place.file), "utf8"), place);
      assert.deepEqual(found, Array(place.times).fill(version), place.file);
    }
    assert.ok([null, version].includes(released(root).version), "released.json names another version");
  });

  test("can be released: every place changes, and each migration is listed", () => {
    const changed = releaseOf(root, LATER, "2026-12-01", "# Changelog\n\n## Unreleased\n\n- A line.\n");
    for (const place of placesOf(root))
      assert.deepEqual(
        new Set(versionsAt(changed.get(place.file) ?? "", place)),
        new Set([LATER]),
        place.file,
      );
    const list = JSON.parse(changed.get(RELEASED_FILE) ?? "") as Released;
    assert.deepEqual(list, { version: LATER, migrations: migrationsOf(root) });
    assert.deepEqual(violations(list, migrationsOf(root)), []);
    assert.match(changed.get("CHANGELOG.md") ?? "", /^## Unreleased\n\n## 99\.0\.0 \(2026-12-01\)\n\n- /m);
  });

  test("cannot be released as the same or an earlier version", () => {
    for (const version of [versionOf(root), "0.0.9", "0.2", "v0.2.0", "0.2.0-rc.1", "next"])
      assert.throws(() => releaseOf(root, version, "2026-12-01"), /is not a version later than/, version);
  });
});

test("no migration makes a table's row by position: an upgraded table may have another order of columns", () => {
  const read = (file: string) => readFileSync(join(root, "supabase/migrations", file), "utf8");
  const files = Object.keys(migrationsOf(root));
  // A type's columns stand where it is made, in the same order everywhere.
  const made = /create type "?(?:public|private)"?\."?(\w+)"? as \(/gi;
  const types = new Set(files.flatMap((file) => [...read(file).matchAll(made)].map(([, name]) => name)));
  for (const file of files) {
    const sql = read(file);
    const casts = [...sql.matchAll(/\)::(?:public|private)\.(\w+)/g)];
    assert.deepEqual(
      casts.flatMap(([found, name]) => (types.has(name) ? [] : [found])),
      [],
      file,
    );
    const inserts = /insert into (?:public|private)\.\w+(?: as \w+)? (?:values|select (?!\(?\w+\)?\.\*))/g;
    assert.deepEqual(
      [...sql.matchAll(inserts)].map(([found]) => found),
      [],
      file,
    );
  }
});

describe("released migrations", () => {
  const list: Released = { version: "0.2.0", migrations: { "1_a.sql": "x", "3_c.sql": "y" } };
  for (const [why, present, says] of [
    ["unchanged", { "1_a.sql": "x", "3_c.sql": "y" }, undefined],
    ["with a later one", { "1_a.sql": "x", "3_c.sql": "y", "4_d.sql": "z" }, undefined],
    ["changed", { "1_a.sql": "x!", "3_c.sql": "y" }, /^1_a\.sql was released .* changed; restore it/],
    ["missing", { "3_c.sql": "y" }, /^1_a\.sql was released .* missing; restore it/],
    ["with one between", { "1_a.sql": "x", "2_b.sql": "z", "3_c.sql": "y" }, /^2_b\.sql would run before/],
  ] as [string, Record<string, string>, RegExp | undefined][]) {
    test(why, () => {
      const found = violations(list, present);
      if (says === undefined) assert.deepEqual(found, []);
      else {
        assert.equal(found.length, 1);
        assert.match(found[0] ?? "", says);
      }
    });
  }

  test("anything goes before the first release", () => {
    assert.deepEqual(violations({ version: null, migrations: {} }, { "1_a.sql": "x" }), []);
  });

  test("line ends of Windows do not change a checksum; one letter does", () => {
    assert.equal(checksum("a;\r\nb;\r\n"), checksum("a;\nb;\n"));
    assert.notEqual(checksum("a;\n"), checksum("b;\n"));
  });
});

test("a version is later by its numbers, not its letters", () => {
  for (const [version, than, later] of [
    ["0.10.0", "0.9.0", true],
    ["1.0.0", "0.99.99", true],
    ["0.2.1", "0.2.0", true],
    ["0.2.0", "0.2.0", false],
    ["0.1.9", "0.2.0", false],
  ] as const)
    assert.equal(isLater(version, than), later, `${version} after ${than}`);
});

test("a place that names another version stops the release", () => {
  const place = { file: "x", pattern: /(v=)(\d+\.\d+\.\d+)(;)/g, times: 2 };
  assert.equal(withVersion("v=0.1.0; v=0.1.0;", place, "0.1.0", "0.2.0"), "v=0.2.0; v=0.2.0;");
  for (const text of ["v=0.1.0;", "v=0.1.0; v=0.1.1;", ""])
    assert.throws(() => withVersion(text, place, "0.1.0", "0.2.0"), /x should name 0\.1\.0 2×/);
});

test("a release without a word in the change log is refused", () => {
  assert.throws(
    () => changeLogOf("# Changelog\n\n## Unreleased\n\n## 0.1.0\n\n- x\n", "0.2.0", "d"),
    /nothing under/,
  );
  assert.throws(() => changeLogOf("# Changelog\n", "0.2.0", "d"), /nothing under/);
});
