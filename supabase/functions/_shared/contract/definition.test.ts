import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { z } from "zod";
import { problemsOf } from "../problems.ts";
import { emptyRequest, launchRequest, rollbackRequest, scaleRequest, updateRequest } from "./definition.ts";

const problems = (schema: z.ZodType, input: unknown) => {
  const parsed = schema.safeParse(input);
  return parsed.success ? {} : problemsOf(parsed.error.issues, input, "body");
};
const launch = (fields: object) => problems(launchRequest, { agentName: "bot", ...fields });
const many = (count: number) => Array.from({ length: count }, (_, index) => `item-${index}`);

/** The body that the Launchpad specification shows. */
const documented = {
  agentName: "my-trading-bot",
  description: "AI trading assistant",
  character: {
    name: "TradingBot",
    bio: "Expert cryptocurrency trader with real-time market analysis",
    personality: "Professional, analytical, and helpful",
    system: "You are a professional cryptocurrency trading assistant.",
    adjectives: ["analytical", "precise", "risk-aware"],
    topics: ["cryptocurrency", "trading", "technical analysis"],
  },
  plugins: ["@elizaos/plugin-discord", "@elizaos/plugin-web3", "@elizaos/plugin-supabase"],
  platforms: ["discord"],
  resources: { memory: "1Gi", cpu: "500m", replicas: 1 },
  environment: { DISCORD_TOKEN: "your-discord-bot-token", COINGECKO_API_KEY: "your-api-key" },
  supabase_config: {
    project_ref: "your-project-ref",
    database_url: "postgresql://postgres:[password]@db.your-project.supabase.co:5432/postgres",
    real_time: { enabled: true, channels: ["agent_status", "user_interactions", "performance_metrics"] },
  },
};

describe("a launch", () => {
  const good: [name: string, fields: object][] = [
    ["the documented body", documented],
    ["nothing but a name", {}],
    ["null for what is left out", { description: null, character: null, resources: null, plugins: null }],
    ["a name of 100 emoji", { agentName: "🤖".repeat(100) }],
    ["bio as a list", { character: { bio: ["one", "two"] } }],
    ["further elizaOS keys", { character: { messageExamples: [[{ user: "a" }]], style: { all: ["x"] } } }],
    [
      "plugins with versions",
      { plugins: ["a", "@s/b@1.2.3", "e_f.g@1.0.0-rc.1+b", "c@^2", "d@~1.2", "e@1.x", "f@latest"] },
    ],
    ["the smallest size", { resources: { memory: "128Mi", cpu: "50m", replicas: 1 } }],
    ["the largest size", { resources: { memory: "64Gi", cpu: "64", replicas: 100 } }],
    ["other notations", { resources: { memory: "1.5Gi", cpu: "0.5" } }],
    ["decimal memory", { resources: { memory: "512M", cpu: "64000m" } }],
    ["numbers", { resources: { memory: 1_073_741_824, cpu: 0.5 } }],
    ["bytes, exponents and bare fractions", { resources: { memory: "1e9", cpu: ".5" } }],
    ["100 variables", { environment: Object.fromEntries(many(100).map((_, index) => [`V_${index}`, "x"])) }],
    ["the longest variable", { environment: { [`_${"A".repeat(127)}`]: "x".repeat(32 * 1024) } }],
    [
      "model settings",
      { framework: "openai", model: "gpt-4o", settings: { temperature: 2, top_p: 0, stop: null } },
    ],
    ["a policy", { scaling_policy: { min_replicas: 1, max_replicas: 5, target_cpu: 70 } }],
  ];
  for (const [name, fields] of good) it(`accepts ${name}`, () => assert.deepEqual(launch(fields), {}));

  const MEMORY = 'Must be a quantity from 128Mi to 64Gi, such as "512Mi" or "1Gi"';
  const CPU = 'Must be a quantity from 50m to 64, such as "500m" or "1"';
  const bad: [fields: object, problems: Record<string, string>][] = [
    [{ agentName: undefined }, { agentName: "Required" }],
    [{ agentName: "" }, { agentName: "Must have 1 to 100 characters, not all blank" }],
    [{ agentName: "   " }, { agentName: "Must have 1 to 100 characters, not all blank" }],
    [{ agentName: "x".repeat(101) }, { agentName: "Must have 1 to 100 characters, not all blank" }],
    [{ agentName: 7 }, { agentName: "Must be text" }],
    [{ description: "x".repeat(2001) }, { description: "Must have at most 2000 characters" }],
    [{ character: "TradingBot" }, { character: "Must be an object" }],
    [{ character: { bio: 1 } }, { "character.bio": "Must be text or a list of texts" }],
    [{ character: { topics: [1] } }, { "character.topics": "Must be text or a list of texts" }],
    [{ character: { lore: "x".repeat(64 * 1024) } }, { character: "Must be at most 64 KiB of JSON" }],
    [{ plugins: many(51) }, { plugins: "Must have at most 50 items" }],
    [{ plugins: "a" }, { plugins: "Must be a list" }],
    [{ platforms: ["Discord"] }, { "platforms.0": 'Must be a short lower-case name such as "discord"' }],
    [{ platforms: many(21) }, { platforms: "Must have at most 20 items" }],
    [{ resources: { memory: "127Mi" } }, { "resources.memory": MEMORY }],
    [{ resources: { memory: "65Gi" } }, { "resources.memory": MEMORY }],
    [{ resources: { memory: "1GiB" } }, { "resources.memory": MEMORY }],
    [{ resources: { cpu: "49m" } }, { "resources.cpu": CPU }],
    [{ resources: { cpu: "64.5" } }, { "resources.cpu": CPU }],
    [{ resources: { replicas: 0 } }, { "resources.replicas": "Must be a whole number from 1 to 100" }],
    [{ resources: { replicas: 1.5 } }, { "resources.replicas": "Must be a whole number from 1 to 100" }],
    [{ resources: { gpu: 1 } }, { "resources.gpu": "Unknown field" }],
    [
      { environment: { "1A": "x", B: 1 } },
      {
        "environment.1A": "Name must be letters, digits and underscores, not beginning with a digit",
        "environment.B": "Must be text",
      },
    ],
    [{ environment: { A: "é".repeat(16 * 1024 + 1) } }, { "environment.A": "Must be at most 32 KiB" }],
    [
      {
        environment: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`S${i}`, "x".repeat(32_000)])),
      },
      { environment: "All secrets of an agent have at most 512 KiB together" },
    ],
    [
      { supabase_config: { real_time: { enabled: "yes", rooms: [] }, bucket: "x" } },
      {
        "supabase_config.real_time.enabled": "Must be true or false",
        "supabase_config.real_time.rooms": "Unknown field",
        "supabase_config.bucket": "Unknown field",
      },
    ],
    [
      { scaling_policy: { min_replicas: 3, max_replicas: 2 } },
      { "scaling_policy.min_replicas": "Must not be greater than max_replicas" },
    ],
    [
      { scaling_policy: { target_cpu: 0 } },
      { "scaling_policy.target_cpu": "Must be a whole number from 1 to 100" },
    ],
    [{ settings: { temperature: 2.1 } }, { "settings.temperature": "Must be a number from 0 to 2" }],
    [{ settings: { seed: 1 } }, { "settings.seed": "Unknown field" }],
    [{ avatar: "javascript:alert(1)" }, { avatar: "Must be an http or https URL" }],
    [
      { foo: 1, "bar baz": 2 },
      { foo: "Unknown field", "bar baz": "Unknown field" },
    ],
  ];
  for (const [fields, expected] of bad) {
    it(`names ${Object.keys(expected).join(", ")} in ${JSON.stringify(fields).slice(0, 60)}`, () => {
      assert.deepEqual(launch(fields), expected);
    });
  }

  for (const plugin of [
    "A",
    "a b",
    "@/x",
    "../x",
    "a@",
    "https://x",
    "fs",
    "node:fs",
    "x@>=1",
    "owner/repo",
    "~x",
    "x".repeat(215),
    "@scope",
    "",
    "mcp:",
    "mcp:mcp.example.com",
    "mcp:ftp://mcp.example.com",
    "mcp:https://user:pass@mcp.example.com",
    "mcp:https://mcp.example.com#not a name",
    "mcp:https://mcp.example.com#Host=TOKEN",
    "mcp:https://mcp.example.com#mcp-session-id=TOKEN",
  ]) {
    it(`refuses the plugin ${plugin.slice(0, 20)}`, () =>
      assert.ok("plugins.0" in launch({ plugins: [plugin] })));
  }

  for (const body of [null, 7, "text", [], true]) {
    it(`refuses ${JSON.stringify(body)}`, () => {
      assert.deepEqual(problems(launchRequest, body), { body: "Must be a JSON object" });
    });
  }

  it("bounds how much it complains", () => {
    const found = launch(Object.fromEntries(many(5000).map((key) => [key.repeat(100), 1])));
    assert.equal(Object.keys(found).length, 100);
    assert.ok(Object.keys(found).every((field) => field.length <= 201));
  });

  it("names a field that JavaScript would hide", () => {
    assert.deepEqual(
      launch(JSON.parse('{"__proto__": 1}')),
      Object.fromEntries([["__proto__", "Unknown field"]]),
    );
  });
});

describe("an update", () => {
  const cases: [body: unknown, expected: Record<string, string>][] = [
    [{ description: "x", resources: { memory: "2Gi", cpu: "1000m" } }, {}],
    [
      { supabase_config: { real_time: { enabled: true }, storage: { bucket: "b", public_access: false } } },
      {},
    ],
    [{ environment: { OLD: null, NEW: "x" } }, {}],
    [{ resources: { replicas: 0 } }, {}],
    [{ model: null, scaling_policy: null, description: null }, {}],
    [{}, { body: "Must name at least one field to change" }],
    [{ agentName: null }, { agentName: "Must be text" }],
    [{ status: "DEPLOYED" }, { status: "Unknown field" }],
  ];
  for (const [body, expected] of cases) {
    it(`${JSON.stringify(body)} → ${JSON.stringify(expected)}`, () =>
      assert.deepEqual(problems(updateRequest, body), expected));
  }
});

describe("the other bodies", () => {
  const cases: [schema: z.ZodType, body: unknown, expected: Record<string, string>][] = [
    [scaleRequest, { replicas: 3, scaling_policy: { min_replicas: 1, max_replicas: 5, target_cpu: 70 } }, {}],
    [scaleRequest, { replicas: 0 }, {}],
    [scaleRequest, { replicas: 3, scaling_policy: null }, {}],
    [scaleRequest, {}, { replicas: "Required" }],
    [scaleRequest, { replicas: 101 }, { replicas: "Must be a whole number from 0 to 100" }],
    [
      scaleRequest,
      { replicas: 9, scaling_policy: { max_replicas: 5 } },
      { replicas: "Must lie within scaling_policy" },
    ],
    [rollbackRequest, { revision: 2 }, {}],
    [rollbackRequest, {}, {}],
    [rollbackRequest, { revision: 0 }, { revision: "Must be a whole number from 1 to 999999999" }],
    [emptyRequest, {}, {}],
    [emptyRequest, { now: true }, { now: "Unknown field" }],
    [emptyRequest, [], { body: "Must be a JSON object" }],
  ];
  for (const [schema, body, expected] of cases) {
    it(`${JSON.stringify(body)} → ${JSON.stringify(expected)}`, () =>
      assert.deepEqual(problems(schema, body), expected));
  }
});
