import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { readConfig } from "../../config.ts";
import { toElizaCharacter, toElizaSettings } from "./character.ts";

function configure(agent: Record<string, unknown>, environment: Record<string, string> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "agent-config-"));
  try {
    const file = join(folder, "agent.json");
    writeFileSync(file, JSON.stringify({ agentId: "agent-a", name: "bot", ...agent }));
    return readConfig({ AGENT_CONFIG_FILE: file, PATH: "/bin", ...environment });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a character becomes elizaOS's, whichever of its forms it has", () => {
  const character = toElizaCharacter(
    configure({
      character: {
        name: "Ada Lovelace",
        bio: "One line",
        lore: ["Old story"],
        personality: ["calm", "exact"],
        system: "SYSTEM",
        topics: ["sums"],
        messageExamples: [[{ user: "u", content: { text: "x" } }], "broken"],
      },
      systemPrompt: "PROMPT",
    }),
  );
  assert.equal(character.username, "ada_lovelace");
  assert.equal(character.bio, "One line\nOld story");
  assert.equal(character.system, "PROMPT\n\nSYSTEM\n\nPersonality: calm, exact");
  assert.deepEqual(character.messageExamples, [[{ name: "u", content: { text: "x" } }]]);
  assert.deepEqual(character.settings, {});
});

test("settings are the agent's own variables, with model and sampling in elizaOS's names", () => {
  const environment = { DISCORD_TOKEN: "discord-token", MY_KEY: "my-key-value", AGENT_ID: "agent-a" };
  const settings = toElizaSettings(
    configure(
      { framework: "anthropic", model: "claude-x", settings: { temperature: 0.1, max_tokens: 5 } },
      environment,
    ),
  );
  assert.deepEqual(settings, {
    ANTHROPIC_LARGE_MODEL: "claude-x",
    ANTHROPIC_SMALL_MODEL: "claude-x",
    DEFAULT_TEMPERATURE: "0.1",
    DEFAULT_MAX_TOKENS: "5",
    DISCORD_API_TOKEN: "discord-token",
    DISCORD_TOKEN: "discord-token",
    MY_KEY: "my-key-value",
  });
});

test("settings and templates of a character reach its plugins; references are the environment's, which wins", () => {
  const character = toElizaCharacter(
    configure(
      {
        character: {
          settings: {
            mcp: {
              servers: {
                a: {
                  url: "https://mcp.example",
                  headers: ["MCP_TOKEN", "NOT_SET"].map((name) => `\${${name}}`),
                },
              },
            },
            chains: { evm: ["base"] },
            CHANNEL_IDS: "from the file",
            secrets: { X: "y" },
          },
          templates: { replyTemplate: "Say: {{text}}", odd: 1, blank: " " },
          postExamples: ["A post"],
        },
      },
      { MCP_TOKEN: "token-of-vault", CHANNEL_IDS: "from the environment" },
    ),
  );
  assert.deepEqual(character.settings, {
    mcp: { servers: { a: { url: "https://mcp.example", headers: ["token-of-vault", ""] } } },
    chains: { evm: ["base"] },
  });
  assert.deepEqual(
    [character.templates, character.postExamples],
    [{ replyTemplate: "Say: {{text}}" }, ["A post"]],
  );
});

test("example turns in odd forms are dropped or mended, and people have names", () => {
  const turn = (content: unknown, name: unknown = "{{user1}}") => ({ name, content });
  const { messageExamples } = toElizaCharacter(
    configure({
      character: {
        messageExamples: [
          [
            turn({ text: "hi {{user2}}" }),
            turn({ text: "hello", action: "WAVE" }, "Ada"),
            turn("plain", "{{user7}}"),
          ],
          [
            null,
            5,
            {},
            turn({}),
            turn({ text: 3 }),
            turn(null),
            { user: "{{user2}}", content: { text: "old" } },
          ],
          [
            turn({ text: "x", actions: "A" }),
            turn({ text: "y", actions: [null, "B", 3] }),
            turn({ text: "z" }, null),
          ],
          "no group",
          [],
          [[]],
        ],
      },
    }),
  );
  assert.deepEqual(messageExamples, [
    [
      { name: "{{name1}}", content: { text: "hi {{name2}}" } },
      { name: "Ada", content: { text: "hello", actions: ["WAVE"] } },
      { name: "User 7", content: { text: "plain" } },
    ],
    [{ name: "{{name2}}", content: { text: "old" } }],
    [
      { name: "{{name1}}", content: { text: "x", actions: ["A"] } },
      { name: "{{name1}}", content: { text: "y", actions: ["B"] } },
      { name: "{{name1}}", content: { text: "z" } },
    ],
  ]);
});

test("a character brings elizaOS no secrets, and no addresses of models: those come from the environment alone", () => {
  const address = { OPENAI_BASE_URL: "https://elsewhere.example" };
  const config = configure({
    character: { name: "Ada", settings: { ...address, secrets: address }, secrets: address, system: "S" },
    settings: { temperature: 1, ...address },
  });
  assert.ok(!JSON.stringify([toElizaCharacter(config), toElizaSettings(config)]).includes("elsewhere"));
});
