// Opening a plugin store that cannot be used: one sentence at once, with the setting that helps.
import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, vi } from "vitest";
import { createLog } from "../log.ts";
import { temporaryFolder } from "../testing/temporary.ts";
import type { Npm } from "./npm.ts";
import { PluginStore } from "./store.ts";

const open = (folder: string) =>
  new PluginStore({ folder, npm: {} as Npm, log: createLog(() => {}, "error"), loader: "" }).open();

/** As if the folder, and all that is made, were another account's. */
function foreign(folder: string): void {
  const own = process.geteuid?.() ?? 0;
  if (own === 0) chownSync(folder, 65_534, 65_534);
  else vi.spyOn(process as { geteuid(): number }, "geteuid").mockImplementation(() => own + 1);
}

describe("a store that cannot be used", () => {
  const named = (folder: string, why: RegExp) => (error: Error) => {
    assert.match(error.message, why);
    assert.ok(error.message.startsWith(`The plugin store ${folder} cannot be used (`), error.message);
    assert.match(error.message, /set LAUNCHPAD_PLUGIN_STORE to a folder that this account may write/);
    return true;
  };

  test("a place where nothing can be made", { skip: process.platform !== "linux" }, async () => {
    await assert.rejects(open("/proc/x"), named("/proc/x", /ENOENT/));
  });

  test("a file in the way", async (context) => {
    const folder = join(temporaryFolder(context), "store");
    writeFileSync(folder, "");
    await assert.rejects(open(folder), named(folder, /EEXIST/));
  });

  test("another account's folder: it could change what agents run", async (context) => {
    const folder = join(temporaryFolder(context), "store");
    mkdirSync(folder);
    foreign(folder);
    await assert.rejects(open(folder), named(folder, /belongs to the account \d+, and this is \d+/));
  });

  test("another account's folder within it", async (context) => {
    const folder = join(temporaryFolder(context), "store");
    mkdirSync(join(folder, "trees"), { recursive: true });
    foreign(join(folder, "trees"));
    await assert.rejects(open(folder), named(folder, /belongs to the account/));
  });
});

test("a folder of root's, as a volume on Kubernetes has, is used as it is", {
  skip: process.geteuid?.() !== 0,
}, async (context) => {
  const folder = temporaryFolder(context);
  chmodSync(folder, 0o777);
  for (const part of ["trees", "files"]) mkdirSync(join(folder, part));
  vi.spyOn(process as { geteuid(): number }, "geteuid").mockImplementation(() => 10_001);
  await open(folder);
  assert.equal(statSync(folder).mode & 0o777, 0o777);
});

test("one that can is open and empty", async (context) => {
  const folder = join(temporaryFolder(context), "deep", "store");
  await open(folder);
  assert.deepEqual(readdirSync(folder).sort(), ["files", "trees"]);
});
