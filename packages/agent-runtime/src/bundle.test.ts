// The bundle: what agents are run from, and what an error says of it.
import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { test } from "vitest";
import { bundleRuntime } from "./bundle.ts";
import { bundledProgram } from "./paths.ts";
import { permittedCommand } from "./permissions.ts";
import { stackOf } from "./stack.ts";

test("the bundle is made once, and permittedCommand runs it", async () => {
  assert.equal(await bundleRuntime(), true);
  const made = statSync(bundledProgram).mtimeMs;
  assert.equal(await bundleRuntime(), true);
  assert.equal(statSync(bundledProgram).mtimeMs, made);
  const files = { configFile: "/a/agent.json", stateDir: "/a/data", cacheDir: "/a/cache" };
  assert.equal(permittedCommand(files).at(-1), bundledProgram);
});

test("a newer source makes a new bundle", async () => {
  await bundleRuntime();
  const stamp = join(bundledProgram, "../built-from");
  const before = readFileSync(stamp, "utf8");
  writeFileSync(stamp, "older sources");
  assert.equal(await bundleRuntime(), true);
  assert.equal(readFileSync(stamp, "utf8"), before);
});

test("files of an old bundle are kept for agents that started from it, and removed after a month", async () => {
  await bundleRuntime();
  const folder = join(bundledProgram, "..");
  const [recent, old] = [join(folder, "chunk-RECENT.mjs"), join(folder, "chunk-OLD.mjs")];
  for (const file of [recent, old]) writeFileSync(file, "");
  const longAgo = new Date(Date.now() - 40 * 86_400_000);
  utimesSync(old, longAgo, longAgo);
  writeFileSync(join(folder, "built-from"), "older sources");
  await bundleRuntime();
  assert.ok(statSync(recent, { throwIfNoEntry: false }));
  assert.equal(statSync(old, { throwIfNoEntry: false }), undefined);
  rmSync(recent);
});

test("a stack names the line of the source, not of the bundle", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-stack-"));
  t.onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const source = join(folder, "fails.ts");
  writeFileSync(source, "// a comment\n\nexport function fails(): never {\n  throw new Error('x');\n}\n");
  const outfile = join(folder, "bundle.mjs");
  await build({ entryPoints: [source], outfile, bundle: true, format: "esm", sourcemap: "external" });
  const { fails } = (await import(pathToFileURL(outfile).href)) as { fails(): never };
  const thrown = catchOf(fails);
  assert.match(thrown.stack ?? "", /bundle\.mjs:\d+/);
  assert.match(stackOf(thrown) ?? "", /fails\.ts:4:9/);
  assert.doesNotMatch(stackOf(thrown) ?? "", /bundle\.mjs/);
  assert.equal(stackOf("no error"), undefined);
});

function catchOf(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not throw");
}
