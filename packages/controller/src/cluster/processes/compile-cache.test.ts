import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { temporaryFolder } from "../../testing/temporary.ts";
import { fillCompileCache } from "./compile-cache.ts";

const own = process.getuid?.() ?? 0;

test("a replica's cache is the shared one, under its own account, and private", (context) => {
  const folder = temporaryFolder(context);
  const [shared, cache] = [join(folder, "shared"), join(folder, "cache")];
  for (const name of [`v24.0.0-x64-aa-${own}`, "v24.0.0-x64-aa-4711", "other"]) {
    mkdirSync(join(shared, name), { recursive: true });
    writeFileSync(join(shared, name, "code"), name);
  }
  const made = fillCompileCache(shared, cache, 70_000);
  assert.deepEqual(readdirSync(cache), ["v24.0.0-x64-aa-70000"]);
  assert.deepEqual(made, [cache, join(cache, "v24.0.0-x64-aa-70000")]);
  assert.equal(readFileSync(join(cache, "v24.0.0-x64-aa-70000/code"), "utf8"), `v24.0.0-x64-aa-${own}`);
  for (const path of made) assert.equal(statSync(path).mode & 0o777, 0o700);
  // A second life finds its files there.
  assert.deepEqual(fillCompileCache(shared, cache, 70_000), made);
});

test("without a shared cache there is an empty one", (context) => {
  const folder = temporaryFolder(context);
  assert.deepEqual(fillCompileCache(join(folder, "none"), join(folder, "cache")), [join(folder, "cache")]);
});
