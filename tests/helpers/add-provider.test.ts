// The lists of CONTRIBUTING ("Add a field", "Add an endpoint", "Add a provider") name files that exist; the last one names them all.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { glob } from "node:fs/promises";
import { join, resolve } from "node:path";
import { test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(join(root, file), "utf8");
const sections = read("CONTRIBUTING.md").split(/^## /m);
const filesOf = (title: string): string[] => {
  const section =
    sections.find((text) => text.startsWith(`${title}\n`)) ?? assert.fail(`no section "${title}"`);
  return [...section.matchAll(/`([\w.-]+\/[^`\s]+)`/g)].map(([, file = ""]) => file);
};

/** Without what only people read. */
const code = (text: string) => text.replaceAll(/\/\*[\s\S]*?\*\/|(?:\/\/|--).*$/gm, "");

test("CONTRIBUTING's lists name files that exist", () => {
  for (const title of ["Add a field to agents", "Add an endpoint", "Add a provider of models"]) {
    const files = filesOf(title).filter((file) => !file.startsWith("/api") && !file.includes("<"));
    assert.ok(files.length > 1, title);
    assert.deepEqual(
      files.filter((file) => !existsSync(join(root, file))),
      [],
      title,
    );
  }
});

test("the list for a provider names every file whose code names one", async () => {
  const paths = await Array.fromAsync(
    glob(
      [
        "packages/*/src/**/*.ts",
        "supabase/functions/**/*.ts",
        "supabase/schemas/*.sql",
        "deploy/images/*.mjs",
      ],
      {
        cwd: root,
        exclude: (path) => /node_modules|\/testing\/|\.test\.ts$/.test(path),
      },
    ),
  );
  const naming = paths.filter((path) => /anthropic/i.test(code(read(path))));
  assert.ok(naming.length > 15, `${naming.length} files`);
  const listed = new Set(filesOf("Add a provider of models"));
  assert.deepEqual(
    naming.filter((path) => !listed.has(path)),
    [],
    "add them to CONTRIBUTING.md",
  );
});
