import assert from "node:assert/strict";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { makeFolder } from "./make-folder.ts";
import { temporaryFolder } from "./testing/temporary.ts";

test("makes the folders above, and leaves those that are there as they are", (context) => {
  const root = temporaryFolder(context);
  makeFolder(join(root, "a", "b", "c"), 0o700);
  assert.equal(statSync(join(root, "a", "b", "c")).mode & 0o777, 0o700);
  mkdirSync(join(root, "open"));
  const { mode } = statSync(join(root, "open"));
  makeFolder(join(root, "open"), 0o700);
  assert.equal(statSync(join(root, "open")).mode, mode);
});

test("a file in the way, and a place where nothing can be made, are errors at once", (context) => {
  const root = temporaryFolder(context);
  writeFileSync(join(root, "file"), "");
  assert.throws(() => makeFolder(join(root, "file"), 0o700), { code: "EEXIST" });
  assert.throws(() => makeFolder(join(root, "file", "below"), 0o700), { code: "ENOTDIR" });
  if (process.platform === "linux")
    for (const path of ["/proc/x", "/proc/x/y"]) assert.throws(() => makeFolder(path, 0o700), /ENOENT/);
});
