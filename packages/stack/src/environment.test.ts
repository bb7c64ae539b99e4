// Which settings of the environment and of `supabase/functions/.env` reach the parts of the stack.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { readEnvironment } from "./environment.ts";

const OLLAMA = "http://127.0.0.1:11434/v1";

describe("readEnvironment", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "launchpad-environment-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("gives a model server's address without a key the key none", () => {
    const { provider, functions } = readEnvironment({ OPENAI_BASE_URL: OLLAMA }, join(folder, "missing"));
    assert.deepEqual(provider, { OPENAI_API_KEY: "none", OPENAI_BASE_URL: OLLAMA });
    const chosen = readEnvironment({ OPENAI_API: "chat" }, join(folder, "missing"));
    assert.deepEqual([chosen.provider.OPENAI_API, chosen.functions.OPENAI_API], ["chat", "chat"]);
    assert.equal(functions.OPENAI_API_KEY, "none");
  });

  test("keeps the key that comes with an address, from either source", async () => {
    const file = join(folder, ".env");
    await writeFile(file, "OPENAI_API_KEY=sk-file\nANTHROPIC_BASE_URL=http://127.0.0.1:9/v1\n");
    const { provider } = readEnvironment({ OPENAI_BASE_URL: OLLAMA, ANTHROPIC_API_KEY: "sk-env" }, file);
    assert.equal(provider.OPENAI_API_KEY, "sk-file");
    assert.equal(provider.ANTHROPIC_API_KEY, "sk-env");
  });

  test("makes up no key without an address", () => {
    assert.deepEqual(readEnvironment({}, join(folder, "missing")).provider, {});
  });

  test("asks the registry that npm uses for advisories, unless a setting says otherwise", async () => {
    const registry = { npm_config_registry: "https://me:sesame@npm.example.com/mirror/" };
    const url = (env: NodeJS.ProcessEnv, file = join(folder, "missing")) =>
      readEnvironment(env, file).functions.LAUNCHPAD_ADVISORY_URL;
    assert.equal(url(registry), "https://npm.example.com/mirror/-/npm/v1/security/advisories/bulk");
    assert.equal(url({ ...registry, LAUNCHPAD_ADVISORY_URL: "off" }), "off");
    const file = join(folder, "advisories.env");
    await writeFile(file, "LAUNCHPAD_ADVISORY_URL=https://other.example.com/bulk\n");
    assert.equal(url(registry, file), "https://other.example.com/bulk");
    assert.equal(url({}), undefined);
  });

  test("hands nothing else of the environment on", () => {
    const read = readEnvironment({ AWS_SECRET_ACCESS_KEY: "x", PATH: "/bin" }, join(folder, "missing"));
    assert.deepEqual(read, { machine: { PATH: "/bin" }, provider: {}, functions: {}, controller: {} });
  });
});
