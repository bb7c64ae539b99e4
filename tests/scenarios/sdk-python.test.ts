// The Python SDK: format, lint and types, its own tests against the stack, and what its package holds. Each test of
// pytest is a test here. Skipped where the machine has no Python.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, glob, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { environment, findPythons, type Python, SDK } from "../../scripts/python.ts";
import { runMarked } from "../helpers/doc-blocks.ts";
import { startProviderStub } from "../helpers/providers.ts";
import { startTestStack, type TestStack } from "../helpers/stack.ts";

const ROOT = join(import.meta.dirname, "../..");

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
function suite(
  name: string,
  python: Python | undefined,
  wanted: string,
  body: (python: Python) => Promise<void>,
) {
  if (python === undefined) test(name, ({ skip }) => skip(`no ${wanted} on this machine`));
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

/** Files of the package below `folder`. */
const textsOf = (folder: string, files: string[]) =>
  Promise.all(files.map((file) => readFile(join(folder, "src/agent_launchpad", file), "utf8")));

/** Runs pytest; the outcome of each of its tests by name. */
async function outcomesOf(interpreter: string, paths: string[], env: Record<string, string>) {
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
    const failed = outcomes.some(({ outcome }) => outcome === "failed");
    assert.equal(ran.code, failed ? 1 : 0, ran.output);
    return new Map(outcomes.map((outcome) => [outcome.name, outcome]));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes each test of pytest a test here; pytest runs once, before the first of them. */
async function pytest(
  interpreter: string,
  paths: string[],
  environmentOf: () => Record<string, string> = () => ({}),
): Promise<void> {
  const args = ["-m", "pytest", "-p", "no:cacheprovider", "--collect-only", ...paths];
  const listed = await run(interpreter, args);
  assert.equal(listed.code, 0, listed.output);
  let outcomes: Map<string, Outcome>;
  beforeAll(async () => {
    outcomes = await outcomesOf(interpreter, paths, environmentOf());
  });
  for (const name of listed.output.split("\n").filter((line) => line.includes("::")))
    test(name, ({ skip }) => {
      const { outcome = "not run", text } = outcomes.get(name) ?? {};
      if (outcome === "skipped") skip(text);
      assert.equal(outcome, "passed", text);
    });
}

suite("Python SDK", current, "Python 3.11 or newer", async (python) => {
  const interpreter = await environment(python, "requirements-dev.txt");
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startTestStack();
    await stack.raiseRateLimits();
  });
  afterAll(() => stack?.stop());

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

  describe("pytest", async () => {
    let provider: Awaited<ReturnType<typeof startProviderStub>>;
    beforeAll(async () => {
      provider = await startProviderStub(() => "Good day to you");
    });
    afterAll(() => provider[Symbol.asyncDispose]());
    await pytest(interpreter, ["tests"], () => ({
      LAUNCHPAD_TEST_STACK: JSON.stringify(stack.info),
      LAUNCHPAD_TEST_PROVIDER: JSON.stringify(provider.environment),
    }));
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

  test("the README's commands install it, generate what is committed, and test it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "launchpad-readme-"));
    try {
      const wheels = join(folder, "wheels");
      const built = await run(interpreter, ["-m", "build", "--wheel", "--no-isolation", "--outdir", wheels]);
      assert.equal(built.code, 0, built.output);
      // What is generated goes into a clone of its own.
      const clone = join(folder, "clone");
      for (const part of ["scripts/python.ts", "docs/openapi.json", "packages/sdk-python"])
        await cp(join(ROOT, part), join(clone, part), { recursive: true });
      await symlink(join(ROOT, ".cache"), join(clone, ".cache"));
      const sources = join(clone, "packages/sdk-python/src");
      const generated = ["models.py", "_operations.py", "_sync/client.py"];
      const kept = await textsOf(SDK, generated);
      for (const file of generated) await writeFile(join(sources, "agent_launchpad", file), "");
      const installed = join(folder, "installed");
      const outcomes = await runMarked("packages/sdk-python/README.md", import.meta.filename, {
        cwd: ROOT,
        env: {
          ...process.env,
          PATH: `${dirname(interpreter)}:${process.env.PATH}`,
          // The index of pip: what was just built. What it needs is in the environment.
          PIP_NO_INDEX: "1",
          PIP_FIND_LINKS: wheels,
          PIP_PREFIX: installed,
          LAUNCHPAD_TEST_STACK: JSON.stringify(stack.info),
        },
        replace: {
          "node scripts/python.ts": `node "${clone}/scripts/python.ts"`,
          // Of this very file one test.
          "npm test -- ": 'npm test -- --testNamePattern="its format" ',
        },
        timeoutMs: 120_000,
      });
      assert.deepEqual(await textsOf(join(clone, "packages/sdk-python"), generated), kept);
      assert.match(outcomes.at(-1)?.output ?? "", /^Tests: 1 passed, 0 failed/m);
      const [library] = await Array.fromAsync(glob(join(installed, "lib*/python3*/site-packages")));
      const imported = await run(
        interpreter,
        ["-c", "import agent_launchpad; print(agent_launchpad.__file__)"],
        {
          PYTHONPATH: library ?? "",
        },
      );
      assert.ok(imported.output.startsWith(library ?? "?"), imported.output);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

suite("Python SDK on the oldest Python and packages", oldest, "Python 3.10", async (python) => {
  await pytest(await environment(python, "requirements-oldest.txt"), ["tests/unit"]);
});
