// The bundle: what agents are run from, and what an error says of it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
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

test("an agent that listened and stopped loaded no crypto, TLS, workers, fetch or performance", async (t) => {
  await bundleRuntime();
  const folder = await mkdtemp(join(tmpdir(), "launchpad-loaded-"));
  t.onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [config, hook, loaded] = [
    join(folder, "agent.json"),
    join(folder, "hook.cjs"),
    join(folder, "loaded"),
  ];
  writeFileSync(config, JSON.stringify({ agentId: "a", name: "a" }));
  writeFileSync(
    hook,
    `const { writeFileSync } = require("node:fs");
     process.on("exit", () => writeFileSync(${JSON.stringify(loaded)}, process.moduleLoadList.join("\\n")));`,
  );
  const child = spawn(process.execPath, ["--require", hook, bundledProgram], {
    env: {
      AGENT_CONFIG_FILE: config,
      AGENT_STATE_DIR: folder,
      AGENT_MESSAGE_KEY: "k".repeat(64),
      AGENT_PROJECT_URL: "http://127.0.0.1:9",
      AGENT_PROJECT_KEY: "key",
      AGENT_PRIVATE_HOSTS: "none",
      OPENAI_API_KEY: "not-a-key",
    },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  for await (const line of createInterface({ input: child.stdout }))
    if (line.includes('"message":"listening"')) child.stdin.end();
  assert.deepEqual(await ended, [0, null]);
  const names = readFileSync(loaded, "utf8").split("\n");
  assert.ok(names.includes("NativeModule http"));
  const unwanted =
    /^NativeModule (crypto|tls|worker_threads|perf_hooks|timers\/promises|internal\/deps\/undici.*)$/;
  assert.deepEqual(
    names.filter((name) => unwanted.test(name)),
    [],
  );
});

test("the start is one file beside the program's own, and no part has code of Vercel's gateway", async () => {
  await bundleRuntime();
  const read = (name: string) => readFileSync(join(bundledProgram, "..", name), "utf8");
  /** Files that are reached from these by imports of a form. */
  const reached = (names: readonly string[], form: RegExp) => {
    const found = new Set(names);
    for (const name of found) for (const [, next = ""] of read(name).matchAll(form)) found.add(next);
    return [...found];
  };
  const any = /"\.\/([\w.-]+\.mjs)"/g;
  const program = [...read("main.mjs").matchAll(any)].map(([, name = ""]) => name);
  const start = reached(["main.mjs", ...program], /(?:from|import) ?"\.\/([\w.-]+\.mjs)"/g);
  // Beside it: the entry, its loader's, the names of the bundle's own functions, and the paths that the entry needs.
  assert.ok(start.length <= 5, start.join(", "));
  const all = reached(["main.mjs"], any);
  assert.ok(all.length > start.length);
  for (const name of all) assert.doesNotMatch(read(name), /vercel\.sh/, name);
});

test("esbuild comes with the runtime's own package, in the version that builds the CLI", () => {
  const read = (name: string) =>
    JSON.parse(readFileSync(join(bundledProgram, "../../..", name, "package.json"), "utf8"));
  assert.equal(read("agent-runtime").optionalDependencies.esbuild, read("cli").devDependencies.esbuild);
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
