import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { runMarked } from "../../../tests/helpers/doc-blocks.ts";
import { startRegistry } from "../../../tests/helpers/registry.ts";
import { build as buildSdk } from "../../sdk/build.ts";
import { build } from "../build.ts";

// Beside the sources, so that it finds the dependencies; git ignores the folder.
const out = join(import.meta.dirname, `../.cache/published-${process.pid}`);
const launchpad = (...args: string[]) =>
  spawnSync(process.execPath, [join(out, "bin/launchpad.js"), ...args], {
    cwd: "/",
    env: { PATH: process.env.PATH, HOME: out, XDG_CONFIG_HOME: out },
    encoding: "utf8",
  });

beforeAll(() => build(out));
afterAll(() => rmSync(out, { recursive: true, force: true }));

test("the package holds what runs and nothing else", () => {
  const packed = spawnSync("npm", ["pack", "--dry-run", "--json", "--loglevel=error"], {
    cwd: out,
    encoding: "utf8",
  });
  const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const path of [
    "package.json",
    "README.md",
    "LICENSE",
    "bin/launchpad.js",
    "dist/main.js",
    "dist/migrations.json",
  ])
    assert.ok(paths.includes(path), path);
  for (const path of paths)
    assert.match(
      path,
      /^(package\.json|README\.md|LICENSE|bin\/launchpad\.js|dist\/[\w-]+\.js|dist\/(?:migrations|fingerprint)\.json)$/,
    );
  const manifest = JSON.parse(readFileSync(join(out, "package.json"), "utf8"));
  assert.deepEqual(manifest.bin, { launchpad: "bin/launchpad.js" });
  assert.equal(manifest.devDependencies, undefined);
});

test("it starts, loads a command and tells an error like the sources", () => {
  assert.match(launchpad("--help").stdout, /^Usage: launchpad/);
  assert.match(launchpad("completion", "bash").stdout, /complete .*launchpad/);
  const { status, stderr } = launchpad("list");
  assert.deepEqual([status, stderr.split(":", 2)[0]], [2, "error"]);
});

test("it knows the migrations that a project should have", () => {
  const known = JSON.parse(readFileSync(join(out, "dist/migrations.json"), "utf8")) as {
    version: string;
    name: string;
  }[];
  assert.ok(known.some(({ name }) => name === "agent_launchpad"));
});

test("what --help loads at once has neither supabase-js nor YAML nor pg in it", () => {
  const seen = new Set<string>();
  const follow = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const [, from = ""] of readFileSync(join(out, "dist", file), "utf8").matchAll(
      /^import\b[^;]*?"([^"]+)";/gm,
    ))
      if (from.startsWith("./")) follow(from.slice(2));
      else seen.add(from);
  };
  follow("main.js");
  const outside = [...seen].filter((name) => !name.endsWith(".js") && !name.startsWith("node:"));
  assert.deepEqual(outside, ["commander"]);
});

test("the README's command installs it for every folder", async () => {
  const prefix = join(out, "prefix");
  const sdk = join(out, "sdk");
  buildSdk(sdk);
  await using registry = await startRegistry(join(out, "registry"), [out, sdk]);
  mkdirSync(prefix);
  // npm's global configuration: the packages of this scope come from there, all others from where they always do.
  const npmrc = join(prefix, "npmrc");
  const machine = spawnSync("npm", ["config", "get", "globalconfig"], { encoding: "utf8" }).stdout.trim();
  const kept = existsSync(machine) ? readFileSync(machine, "utf8") : "";
  writeFileSync(npmrc, `${kept}\n@agent-launchpad:registry=${registry.url}\n`);
  await runMarked("packages/cli/README.md", import.meta.filename, {
    cwd: out,
    env: {
      ...process.env,
      npm_config_globalconfig: npmrc,
      npm_config_prefix: prefix,
      npm_config_prefer_offline: "true",
    },
    replace: {},
    timeoutMs: 120_000,
  });
  const installed = spawnSync(join(prefix, "bin/launchpad"), ["list"], {
    cwd: "/",
    env: {
      PATH: process.env.PATH,
      XDG_CONFIG_HOME: out,
      LAUNCHPAD_URL: "http://127.0.0.1:1",
      LAUNCHPAD_KEY: "a",
    },
    encoding: "utf8",
  });
  assert.match(installed.stderr, /^error: Not signed in/);
  assert.equal(installed.status, 3);
});
