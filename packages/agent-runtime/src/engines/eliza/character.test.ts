import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
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
  assert.deepEqual(character.bio, ["One line", "Old story"]);
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

test("a character brings elizaOS no settings and no secrets: addresses come from the environment alone", () => {
  const address = { OPENAI_BASE_URL: "https://elsewhere.example" };
  const config = configure({
    character: { name: "Ada", settings: { ...address, secrets: address }, secrets: address, system: "S" },
    settings: { temperature: 1, ...address },
  });
  assert.ok(!JSON.stringify([toElizaCharacter(config), toElizaSettings(config)]).includes("elsewhere"));
});
