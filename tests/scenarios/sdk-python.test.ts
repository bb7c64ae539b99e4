// The Python SDK: format, lint and types, its own tests against the stack, and what its package holds. Each test of
// pytest is a test here. Skipped where the machine has no Python.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { environment, findPythons, type Python, SDK } from "../../scripts/python.ts";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

interface Outcome {
  name: string;
  outcome: "passed" | "failed" | "skipped";
  seconds: number;
  text: string;
}

const pythons = await findPythons();
const current = pythons.find(({ version }) => !version.startsWith("3.10."));
const oldest = pythons.find(({ version }) => version.startsWith("3.10."));

/** A suite of an interpreter, or a skipped test that says which is missing. */
function suite(name: string, python: Python | undefined, wanted: string, body: (python: Python) => void) {
  if (python === undefined) test(name, { skip: `no ${wanted} on this machine` }, () => {});
  else describe(name, () => body(python));
}

/** Runs a program of the package; what it wrote and its exit code. */
async function run(interpreter: string, args: string[], env: Record<string, string> = {}) {
  const { promise, resolve } = Promise.withResolvers<{ code: number; output: string }>();
  const options = {
    cwd: SDK,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", ...env },
    maxBuffer: 1 << 26,
  };
  execFile(interpreter, args, options, (error, stdout, stderr) => {
    const code = typeof error?.code === "number" ? error.code : error ? 1 : 0;
    resolve({ code, output: `${stdout}${stderr}` });
  });
  return await promise;
}

/** Runs pytest and reports each of its tests. */
async function pytest(
  t: { test: (name: string, body: (t: { skip(reason: string): void }) => void) => Promise<void> },
  interpreter: string,
  paths: string[],
  env: Record<string, string> = {},
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-pytest-"));
  try {
    const report = join(folder, "report.jsonl");
    const ran = await run(interpreter, ["-m", "pytest", "-p", "no:cacheprovider", ...paths], {
      ...env,
      LAUNCHPAD_PYTEST_REPORT: report,
    });
    const lines = (await readFile(report, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
    const outcomes = lines.map((line) => JSON.parse(line) as Outcome);
    assert.ok(outcomes.length > 0, ran.output);
    for (const { name, outcome, text } of outcomes) {
      await t.test(name, (one) => {
        if (outcome === "skipped") one.skip(text);
        else assert.equal(outcome, "passed", text);
      });
    }
    const failed = outcomes.some(({ outcome }) => outcome === "failed");
    assert.equal(ran.code, failed ? 1 : 0, ran.output);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

suite("Python SDK", current, "Python 3.11 or newer", (python) => {
  let stack: TestStack;
  let interpreter: string;
  before(async () => {
    [stack, interpreter] = await Promise.all([startTestStack(), environment(python, "requirements-dev.txt")]);
    await stack.raiseRateLimits();
  });
  after(() => stack?.stop());

  for (const [name, args] of [
    ["its format is ruff's", ["-m", "ruff", "format", "--no-cache", "--check", "."]],
    ["ruff finds nothing", ["-m", "ruff", "check", "--no-cache", "."]],
    ["its types are sound (mypy, strict)", ["-m", "mypy", "--cache-dir", "../../.cache/python/mypy"]],
  ] as const) {
    test(name, async () => {
      const { code, output } = await run(interpreter, [...args]);
      assert.equal(code, 0, output);
    });
  }

  test("pytest", async (t) => {
    await pytest(t, interpreter, ["tests"], { LAUNCHPAD_TEST_STACK: JSON.stringify(stack.info) });
  });

  test("its package holds the sources, the types' marker and the licence, and nothing else", async () => {
    const folder = await mkdtemp(join(tmpdir(), "launchpad-build-"));
    try {
      const built = await run(interpreter, ["-m", "build", "--no-isolation", "--outdir", folder]);
      assert.equal(built.code, 0, built.output);
      const listed = await run(interpreter, [
        "-c",
        `import glob, tarfile, zipfile
for path in glob.glob(${JSON.stringify(`${folder}/*`)}):
    names = zipfile.ZipFile(path).namelist() if path.endswith(".whl") else tarfile.open(path).getnames()
    print("\\n".join(names))`,
      ]);
      const names = listed.output.trim().split("\n");
      for (const wanted of [
        "agent_launchpad/py.typed",
        "agent_launchpad/_sync/client.py",
        "README.md",
        "LICENSE",
      ]) {
        assert.ok(
          names.some((name) => name.endsWith(wanted)),
          wanted,
        );
      }
      const own =
        /^agent_launchpad(-[\d.]+\/(src\/agent_launchpad|README\.md|LICENSE|pyproject\.toml|PKG-INFO|\.gitignore)|-[\d.]+\.dist-info)?(\/|$)/;
      assert.deepEqual(
        names.filter((name) => !own.test(name)),
        [],
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

suite("Python SDK on the oldest Python and packages", oldest, "Python 3.10", (python) => {
  test("pytest", async (t) => {
    await pytest(t, await environment(python, "requirements-oldest.txt"), ["tests/unit"]);
  });
});
