import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "vitest";
import { CliError } from "../errors.ts";
import { parseDefinition, readDefinition, withLocations } from "./definition.ts";
import { readEnvFile } from "./env-file.ts";

const yaml = `# a bot
agentName: my-bot
plugins:
  - "@elizaos/plugin-discord"
  - Not A Package
resources:
  memory: 512Mi
environment:
  DISCORD_TOKEN: x
`;

describe("definitions", () => {
  test("YAML is read, and each field is found again", async () => {
    const { value, locate } = await parseDefinition(yaml, "agent.yaml");
    assert.equal(value.agentName, "my-bot");
    for (const [field, line] of [
      ["agentName", 2],
      ["plugins", 3],
      ["plugins.1", 5],
      ["plugins[0]", 4],
      ["resources.memory", 7],
      ["resources.cpu", 6],
      ["environment.DISCORD_TOKEN", 9],
    ] as const)
      assert.equal(locate(field), `agent.yaml:${line}`, field);
    assert.equal(locate("character"), undefined);
  });

  test("JSON is read, and each field is found again", async () => {
    const text = JSON.stringify({ agentName: "x", scaling_policy: { target_cpu: 500 } }, null, 2);
    const { value, locate } = await parseDefinition(text, "agent.json");
    assert.deepEqual(value, JSON.parse(text));
    assert.equal(locate("scaling_policy.target_cpu"), "agent.json:4");
  });

  test("names like those of a prototype are fields like others", async () => {
    const { value } = await parseDefinition('{"agentName": "x", "__proto__": {"a": 1}}', "agent.json");
    assert.deepEqual(Object.keys(value), ["agentName", "__proto__"]);
  });

  for (const [why, name, text, says] of [
    [
      "a JSON comma is missing",
      "a.json",
      '{\n "a": 1\n "b": 2\n}',
      /^a\.json:3 is not valid JSON: Expected ','/,
    ],
    ["a JSON comma is too many", "a.json", '{\n "a": 1,\n}', /^a\.json:3 is not valid JSON/],
    ["JSON has a comment", "a.json", '{\n // no\n "a": 1}', /^a\.json:2 is not valid JSON/],
    ["JSON ends too early", "a.json", '{"a": 1', /^a\.json:1 is not valid JSON/],
    ["stdin looks like JSON", "stdin", '{"a": }', /^stdin.* is not valid JSON/],
    ["YAML is indented wrongly", "a.yaml", "a: 1\n b: 2\n", /^a\.yaml:\d is not valid YAML/],
    [
      "YAML has a key twice",
      "a.yaml",
      "a: 1\na: 2\n",
      /^a\.yaml:2 is not valid YAML: Map keys must be unique/,
    ],
    [
      "YAML's aliases explode",
      "a.yaml",
      `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n`,
      /^a\.yaml cannot be read: Excessive alias/,
    ],
    ["it is a list", "a.yaml", "- a\n", /^a\.yaml does not describe an agent/],
    ["it is empty", "a.yaml", "", /^a\.yaml does not describe an agent/],
  ] as const) {
    test(`${why}: one sentence with the line`, async () => {
      await assert.rejects(parseDefinition(text, name), (error) => {
        assert.ok(error instanceof CliError && error.outcome === "invalid");
        assert.match(error.message, says);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
    });
  }

  test("a file that is not there, or is a folder, is named", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
    t.onTestFinished(() => rm(folder, { recursive: true }));
    await assert.rejects(
      readDefinition(join(folder, "none.yaml")),
      /none\.yaml cannot be read: there is no such file\./,
    );
    await assert.rejects(readDefinition(folder), /it is a folder/);
  });

  test("a validation error gets its places, in the order of the file", async () => {
    const definition = await parseDefinition(yaml, "agent.yaml");
    const error = new CliError("invalid", "Invalid request body.", {
      code: "VALIDATION_ERROR",
      details: { "resources.memory": "too much", framework: "unknown", "plugins.1": "not a package" },
    });
    const located = withLocations(error, definition);
    assert.equal(located.message, "The definition has 3 wrong fields.");
    assert.deepEqual(Object.keys(located.details ?? {}), ["framework", "plugins.1", "resources.memory"]);
    assert.deepEqual(located.locations, { "plugins.1": "agent.yaml:5", "resources.memory": "agent.yaml:7" });
    const other = new CliError("conflict", "x", { details: { a: 1 } });
    assert.equal(withLocations(other, definition), other);
  });
});

test("a bare elizaOS character file is an agent with its name; errors point into the file", async () => {
  const text = '{\n  "name": "Ada",\n  "bio": ["b"],\n  "lore": 5\n}';
  const definition = await parseDefinition(text, "ada.json");
  assert.deepEqual(definition.value, {
    agentName: "Ada",
    character: { name: "Ada", bio: ["b"], lore: 5 },
  });
  assert.equal(definition.locate("character.lore"), "ada.json:4");
  const plain = await parseDefinition("agentName: a\nname: b\nbio: c\n", "a.yaml");
  assert.deepEqual(plain.value, { agentName: "a", name: "b", bio: "c" });
});

test("a file of secrets: values are read, a bad line or no value is an error", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
  t.onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, ".env");
  await writeFile(file, "# comment\nA=1\nexport B='two words'\n");
  assert.deepEqual(await readEnvFile(file), { A: "1", B: "two words" });
  await writeFile(file, "nothing\n");
  await assert.rejects(readEnvFile(file), /line 1 is not of the form NAME=value. Nothing was set/);
  await writeFile(file, "# comment\n");
  await assert.rejects(readEnvFile(file), /no line of the form NAME=value/);
});
