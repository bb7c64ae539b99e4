// Plugins named in a definition, from a registry of this machine to a running agent.
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { startRegistry } from "../helpers/registry.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

interface Status {
  status: string;
  reason: string | null;
  message: string | null;
}

let folder: string;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let stack: TestStack;
let user: TestUser;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "plugins-e2e-"));
  await chmod(folder, 0o755); // agents have accounts of their own
  const source = join(folder, "my-tool");
  await mkdir(source);
  await writeFile(
    join(source, "package.json"),
    JSON.stringify({ name: "my-tool", version: "1.4.0", type: "module", main: "index.js", license: "MIT" }),
  );
  await writeFile(join(source, "index.js"), 'export default { name: "my-tool", tools: {} };\n');
  registry = await startRegistry(join(folder, "archives"), [source]);
  stack = await startTestStack({
    env: {
      npm_config_registry: registry.url,
      npm_config_cache: join(folder, "cache"),
      npm_config_userconfig: join(folder, "no-npmrc"),
      LAUNCHPAD_PLUGIN_STORE: join(folder, "store"),
    },
  });
  await stack.raiseRateLimits();
  await stack.sql("insert into private.plugin_rules (pattern) values ('my-tool'), ('not-there')");
  user = await stack.createUser();
});
afterAll(async () => {
  await stack?.stop();
  await registry?.[Symbol.asyncDispose]();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

async function launch(plugins: string[]): Promise<{ agentId: string; last: Status }> {
  const response = await stack.fetch("/api/agents", {
    method: "POST",
    token: user.token,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ agentName: "ada", plugins, resources: { memory: "256Mi", cpu: "100m" } }),
  });
  const { agentId } = (await response.json()) as { agentId: string };
  assert.equal(response.status, 201);
  for (;;) {
    const answer = await stack.fetch(`/api/agents/${agentId}/status`, { token: user.token });
    const last = (await answer.json()) as Status;
    if (last.status === "DEPLOYED" || last.status === "FAILED") return { agentId, last };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

describe("a plugin from the registry", () => {
  test("is installed, runs, and its exact version stays with the revision", async () => {
    const { agentId, last } = await launch(["my-tool@^1"]);
    assert.equal(last.status, "DEPLOYED", JSON.stringify(last));
    assert.equal(last.reason, null);
    const { body } = await stack.agentFetch(agentId, "/health", { token: user.token });
    assert.deepEqual(JSON.parse(body).plugins, ["my-tool"]);
    const [row] = await stack.sql<{ resolved: { plugins: { name: string; version: string }[] } }>(
      "select resolved_plugins as resolved from public.agent_revisions where agent_id = $1",
      [agentId],
    );
    assert.deepEqual(
      row?.resolved.plugins.map(({ name, version }) => `${name}@${version}`),
      ["my-tool@1.4.0"],
    );
  });

  test("launches from the store while the registry is down", async () => {
    registry.fault = "away";
    try {
      const { last } = await launch(["my-tool@^1"]);
      assert.equal(last.status, "DEPLOYED", JSON.stringify(last));
    } finally {
      registry.fault = "none";
    }
  });

  test("that does not exist is FAILED with its name", async () => {
    const { last } = await launch(["not-there"]);
    assert.deepEqual([last.status, last.reason], ["FAILED", "PLUGIN_NOT_FOUND"]);
    assert.match(last.message ?? "", /not-there/);
  });

  test("that the runtime brings needs no registry", async () => {
    registry.asked.length = 0;
    const { last } = await launch(["@elizaos/plugin-web3", "@elizaos/plugin-supabase"]);
    assert.equal(last.status, "DEPLOYED", JSON.stringify(last));
    assert.deepEqual(registry.asked, []);
  });
});
