import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, test } from "vitest";
import { environment, findPythons, SDK } from "./python.ts";

let folder: string;
let requirements: string;
let cache: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "python-"));
  cache = join(folder, "cache");
  // Nothing to install: no registry is asked.
  await writeFile(join(folder, "requirements.txt"), "");
  requirements = relative(SDK, join(folder, "requirements.txt"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("runs at the same time share one environment and leave no draft", async () => {
  const [python] = await findPythons();
  assert.ok(python, "this machine has Python 3.10 or newer");
  const made = await Promise.all([1, 2, 3].map(() => environment(python, requirements, cache)));
  assert.equal(new Set(made).size, 1);
  await stat(made[0]!);
  assert.equal((await readdir(cache)).length, 1);
  assert.equal(await environment(python, requirements, cache), made[0]);
  const { stdout } = await promisify(execFile)(join(dirname(made[0]!), "pip"), ["--version"]);
  assert.match(stdout, /^pip /, "its programs run by their names, too");
});

test("an environment that was left half made is replaced, and abandoned drafts go", async () => {
  const [python] = await findPythons();
  const [name = ""] = await readdir(cache);
  await rm(join(cache, name, "complete"));
  const abandoned = `${name}.4194303.1`;
  await mkdir(join(cache, abandoned));
  await environment(python!, requirements, cache);
  assert.deepEqual(await readdir(cache), [name]);
  await stat(join(cache, name, "complete"));
});
