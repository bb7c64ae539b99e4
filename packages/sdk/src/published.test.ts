// The package as it is published: what is in it, how it resolves, how large it is, what it needs.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type InstalledSdk, installSdk } from "../../../tests/helpers/sdk.ts";
import { VERSION } from "./version.ts";

const ROOT = join(import.meta.dirname, "../../..");
let sdk: InstalledSdk;
let installed: string;

beforeAll(() => {
  sdk = installSdk();
  installed = join(sdk.project, "node_modules/@agent-launchpad/sdk");
});
afterAll(() => sdk[Symbol.dispose]());

test("the sources are not packed in its place", () => {
  for (const name of ["sdk", "cli"]) {
    const { status, stderr } = spawnSync("npm", ["pack", "--dry-run"], {
      cwd: join(ROOT, "packages", name),
      encoding: "utf8",
    });
    assert.notEqual(status, 0);
    assert.match(stderr, new RegExp(`pack packages/${name}/dist: that is the package`));
  }
});

describe("the published package", () => {
  test("holds both formats, types, README and licence, and nothing of the source or the tests", () => {
    const paths = sdk.files.map(({ path }) => path);
    for (const wanted of [
      "LICENSE",
      "README.md",
      "package.json",
      "esm/index.js",
      "esm/index.d.ts",
      "cjs/index.js",
      "cjs/index.d.ts",
      "cjs/package.json",
    ]) {
      assert.ok(paths.includes(wanted), `${wanted} is in it: ${paths.join(", ")}`);
    }
    const other = paths.filter((path) => !/\.(js|d\.ts)$|package\.json$|^LICENSE$|^README\.md$/.test(path));
    assert.deepEqual(other, []);
    assert.deepEqual(
      paths.filter((path) => path.includes("test")),
      [],
    );
  });

  test("is smaller than 200 kB", () => {
    assert.ok(sdk.unpackedSize < 200_000, `${sdk.unpackedSize} bytes`);
  });

  test("needs supabase-js, which its user has, and nothing else", () => {
    const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
    assert.equal(manifest.dependencies, undefined);
    assert.deepEqual(Object.keys(manifest.peerDependencies), ["@supabase/supabase-js"]);
    assert.equal(manifest.version, VERSION);
    for (const format of ["esm", "cjs"]) {
      const code = readFileSync(join(installed, format, "index.js"), "utf8");
      const foreign = /\brequire\(|\bfrom"|\bimport\(["'`]|\bprocess\.|\bBuffer\b|node:/.exec(code);
      assert.equal(foreign?.[0], undefined, format);
    }
  });

  test("publint finds nothing", async () => {
    const { messages } = await publint({ pkgDir: installed, strict: true });
    assert.deepEqual(messages, []);
  });

  test("types resolve in every kind of program (arethetypeswrong)", async () => {
    const analysis = await checkPackage(createPackageFromTarballData(readFileSync(sdk.tarball)));
    assert.ok(analysis.types !== false, "it has types");
    assert.deepEqual(analysis.problems, []);
  });

  for (const [name, options] of Object.entries({
    "an ES module": ["--module", "nodenext"],
    "a CommonJS module": ["--module", "nodenext"],
    "a bundler": ["--module", "esnext", "--moduleResolution", "bundler"],
  })) {
    test(`a strict program with the specification's calls compiles as ${name}`, () => {
      const file = name === "a CommonJS module" ? "use.cts" : "use.mts";
      const program = sdk.program(
        file,
        `import { createClient } from "@supabase/supabase-js";
import { AgentLaunchpadClient, AgentLaunchpadError, type AgentUpdate } from "@agent-launchpad/sdk";
const supabase = createClient("https://x.supabase.co", "key");
const typed = createClient<{ public: { Tables: { a: { Row: { id: string }; Insert: { id: string }; Update: { id: string }; Relationships: [] } }; Views: {}; Functions: {} } }>("https://x.supabase.co", "key");
const client = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: "https://api.yourdomain.com" });
new AgentLaunchpadClient({ supabaseClient: typed });
declare const setting: { text?: string | undefined; number?: number | undefined };
new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: setting.text, apiKey: setting.text, supabaseUrl: setting.text, timeout: setting.number, totalTimeout: setting.number, maxRetries: setting.number, maxRetryWait: setting.number, fetch: undefined, onRetry: undefined });
client.swarms.update("s", { name: setting.text, max_turns: setting.number });
client.agents.list({ limit: setting.number, after: setting.text }, { timeout: setting.number });
export async function use(): Promise<string> {
  const agent = await client.agents.create({ agentName: "my-bot", supabase_config: { real_time: { enabled: true } } });
  // @ts-expect-error: a name is needed
  client.agents.create({ description: "x" });
  // @ts-expect-error: no such status
  client.agents.waitUntil(agent.agentId, "DEPLOYD");
  // What a newer server answers is no type error.
  if ((await client.agents.getStatus(agent.agentId)).status === "A_STATUS_OF_TOMORROW") return agent.status;
  // @ts-expect-error: no such status
  client.agents.list({ status: "DEPLOYD" });
  const stop: () => void = client.subscribeToAgent(agent.agentId, (update: AgentUpdate) => {
    if (update.type === "log") console.log(update.log.message);
  });
  stop();
  for await (const { name } of client.agents.list()) console.log(name);
  const gone: null = await client.agents.waitUntil(agent.agentId, "DELETED");
  try { return (await client.agents.getStatus(agent.agentId)).health.kubernetes.status; }
  catch (error) { if (error instanceof AgentLaunchpadError && error.code === "AGENT_NOT_FOUND") return String(gone); throw error; }
}
`,
      );
      const strict = ["--strict", "--noEmit", "--exactOptionalPropertyTypes", "--lib", "es2022,dom"];
      const { stdout } = spawnSync(
        join(ROOT, "node_modules/.bin/tsc"),
        ["--ignoreConfig", ...options, ...strict, program],
        { cwd: sdk.project, encoding: "utf8" },
      );
      // supabase-js's own declarations are not without errors under these options.
      const errors = stdout
        .split("\n")
        .filter((line) => /: error TS/.test(line) && !/@supabase\//.test(line));
      assert.deepEqual(errors, []);
    });
  }
});
