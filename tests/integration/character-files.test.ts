// What a character file says beyond who the agent is: each part takes effect, or a warning names it. Secrets go to Vault.

import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { isPlatformSetting } from "../../packages/agent-runtime/src/engines/eliza/character-settings.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";
import { anon, createUser, liftRateLimits, rpc, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
let bob: string;
beforeAll(async () => {
  db = await createTestDatabase();
  await liftRateLimits(db);
  await db.pool.query("update public.quotas set max_agents = 1000, max_replicas = 1000, max_cpu = 1000000");
  alice = await createUser(db);
  bob = await createUser(db);
});
afterAll(() => db.destroy());

const launch = async (definition: unknown) => rpc(db, user(alice), "launch_agent", { definition });
const told = async (agentId: string) => (await rpc(db, user(alice), "get_agent", { agent_id: agentId })).body;
const agentOf = async (character: unknown, more: object = {}) => {
  const { status, body } = await launch({ agentName: "a", character, ...more });
  assert.equal(status, 201, JSON.stringify(body));
  return { ...(await told(body.agentId)), warnings: body.warnings };
};
const secretsOf = async (agentId: string): Promise<Record<string, string>> =>
  (
    await db.pool.query(
      `select coalesce(jsonb_object_agg(s.name, v.decrypted_secret), '{}') as secrets
       from public.agent_secrets s join vault.decrypted_secrets v on v.id = s.vault_id where s.agent_id = $1`,
      [agentId],
    )
  ).rows[0].secrets;
const mentions = async (word: string) =>
  (
    await db.pool.query(
      `select (select count(*) from public.agents a where a::text like $1)
            + (select count(*) from public.agent_revisions r where r::text like $1)
            + (select count(*) from public.agent_events e where e::text like $1) as n`,
      [`%${word}%`],
    )
  ).rows[0].n;

describe("secrets inside a character", () => {
  const character = {
    name: "Ada",
    settings: {
      secrets: { TELEGRAM_BOT_TOKEN: "word-one", DB_PORT: 5432, EMPTY: "" },
      voice: { model: "x" },
    },
    secrets: { DB_PASSWORD: "word-two" },
  };

  test("go to Vault at a launch, and into no row", async () => {
    const agent = await agentOf(character, { environment: { TELEGRAM_BOT_TOKEN: "mine" } });
    assert.deepEqual(await secretsOf(agent.agentId), {
      TELEGRAM_BOT_TOKEN: "mine",
      DB_PASSWORD: "word-two",
      DB_PORT: "5432",
    });
    assert.deepEqual(agent.character, { name: "Ada", settings: { voice: { model: "x" } } });
    assert.deepEqual([await mentions("word-one"), await mentions("word-two")], ["0", "0"]);
  });

  test("go to Vault at an insert through /rest/v1", async () => {
    const { rows } = await db.as(user(alice), (client) =>
      client.query("insert into public.agents (name, character) values ('b', $1) returning id, character", [
        JSON.stringify(character),
      ]),
    );
    assert.deepEqual(rows[0].character, { name: "Ada", settings: { voice: { model: "x" } } });
    assert.equal((await secretsOf(rows[0].id)).TELEGRAM_BOT_TOKEN, "word-one");
    await assert.rejects(
      db.as(user(bob), (client) =>
        client.query("insert into public.agents (name, user_id, character) values ('b', $2, $1)", [
          JSON.stringify(character),
          alice,
        ]),
      ),
    );
  });

  test("go to Vault at a change, and count as one", async () => {
    const { agentId } = await agentOf({ name: "Ada" });
    const { body } = await rpc(db, user(alice), "update_agent", {
      agent_id: agentId,
      changes: { character },
    });
    assert.deepEqual(body.changes_applied, { character: true });
    assert.equal((await secretsOf(agentId)).DB_PASSWORD, "word-two");
    assert.equal(await mentions("word-one"), "0");
  });

  test("are refused by name where a variable cannot have it, and their values are not repeated", async () => {
    for (const as of ["launch", "insert", "update"]) {
      const bad = {
        name: "Ada",
        settings: { secrets: { "not a name": "word-three", OBJECT: {}, NODE_OPTIONS: "x" } },
      };
      let details: Record<string, string>;
      if (as === "insert") {
        const error = await db
          .as(user(alice), (client) =>
            client.query("insert into public.agents (name, character) values ('b', $1)", [
              JSON.stringify(bad),
            ]),
          )
          .catch((thrown: Error) => thrown);
        details = JSON.parse(JSON.parse((error as Error).message).details);
      } else if (as === "launch") {
        const { body } = await launch({ agentName: "a", character: bad });
        details = JSON.parse(body.details);
      } else {
        const { agentId } = await agentOf({ name: "Ada" });
        const { body } = await rpc(db, user(alice), "update_agent", {
          agent_id: agentId,
          changes: { character: bad },
        });
        details = JSON.parse(body.details);
      }
      assert.deepEqual(
        Object.keys(details).sort(),
        ["NODE_OPTIONS", "OBJECT", "not a name"].map((name) => `character.settings.secrets.${name}`),
        as,
      );
      assert.doesNotMatch(JSON.stringify(details), /word-three/);
    }
  });
});

describe("a launch follows its character", () => {
  test("modelProvider, settings.model and sampling of elizaOS 0.x", async () => {
    const agent = await agentOf({
      name: "Ada",
      modelProvider: "anthropic",
      settings: { model: "claude-sonnet-4-5", modelConfig: { temperature: 0.2, maxOutputTokens: 500 } },
    });
    assert.deepEqual(
      [agent.framework, agent.model, agent.settings],
      ["anthropic", "claude-sonnet-4-5", { temperature: 0.2, max_tokens: 500 }],
    );
    assert.deepEqual(agent.warnings, []);
  });

  test("plugins without those every engine has, and clients as platforms", async () => {
    const agent = await agentOf({
      name: "Ada",
      plugins: ["@elizaos/plugin-bootstrap", "@elizaos/plugin-openai", "@elizaos/plugin-discord"],
      clients: ["DISCORD"],
    });
    assert.deepEqual([agent.plugins, agent.platforms], [["@elizaos/plugin-discord"], ["discord"]]);
    assert.deepEqual(
      agent.warnings.map(({ field }: { field: string }) => field),
      ["resources.memory"],
    );
  });

  test("what the definition says itself wins", async () => {
    const agent = await agentOf(
      {
        name: "Ada",
        modelProvider: "anthropic",
        settings: { temperature: 0.2, maxTokens: 9 },
        clients: ["discord"],
      },
      { framework: "google", settings: { temperature: 1 }, platforms: [] },
    );
    assert.deepEqual(
      [agent.framework, agent.settings, agent.platforms],
      ["google", { temperature: 1, max_tokens: 9 }, []],
    );
  });

  test("the framework follows from a model that only one offers", async () => {
    assert.equal((await agentOf(null, { model: "claude-sonnet-4-5" })).framework, "anthropic");
    const { body } = await launch({ agentName: "a", framework: "openai", model: "claude-sonnet-4-5" });
    assert.equal(body.code, "INVALID_MODEL");
    assert.equal((await launch({ agentName: "a", model: "no-such-model" })).body.code, "INVALID_MODEL");
  });
});

test("an empty framework is a missing one in a launch and in a row, and no framework in a change", async () => {
  for (const [model, framework] of [
    ["claude-sonnet-4-5", "anthropic"],
    [undefined, "openai"],
  ]) {
    const { status, body } = await launch({ agentName: "a", framework: "", ...(model && { model }) });
    assert.equal(status, 201, JSON.stringify(body));
    const { rows } = await db.as(user(alice), (client) =>
      client.query(
        `insert into public.agents (name, framework${model ? ", model" : ""}) values ('b', ''${model ? ", $1" : ""}) returning framework`,
        model ? [model] : [],
      ),
    );
    const launched = await db.pool.query("select framework from public.agents where id = $1", [body.agentId]);
    assert.deepEqual([launched.rows[0].framework, rows[0].framework], [framework, framework]);
  }
  const { body } = await launch({ agentName: "c" });
  const changed = await rpc(db, user(alice), "update_agent", {
    agent_id: body.agentId,
    changes: { framework: "" },
  });
  assert.equal(changed.body.code, "INVALID_FRAMEWORK");
  await assert.rejects(
    db.as(user(alice), (client) =>
      client.query("update public.agents set framework = '' where id = $1", [body.agentId]),
    ),
    /Framework must be one of/,
  );
  assert.equal((await launch({ agentName: "d", framework: " " })).body.code, "INVALID_FRAMEWORK");
});

describe("a row without a framework follows its model and character, as a launch does", () => {
  const inserted = async (row: Record<string, unknown>) => {
    const columns = Object.keys({ name: "b", ...row });
    const values = Object.values({ name: "b", ...row }).map((value) =>
      typeof value === "object" && value !== null && !Array.isArray(value) ? JSON.stringify(value) : value,
    );
    const { rows } = await db.as(user(alice), (client) =>
      client.query(
        `insert into public.agents (${columns}) values (${columns.map((_, n) => `$${n + 1}`)})
         returning framework, model, settings, plugins, platforms`,
        values,
      ),
    );
    return rows[0];
  };
  const file = {
    name: "Ada",
    modelProvider: "anthropic",
    settings: { model: "claude-sonnet-4-5", modelConfig: { temperature: 0.2, top_k: 3 } },
    plugins: ["@elizaos/plugin-bootstrap", "@elizaos/plugin-discord"],
    clients: ["DISCORD"],
  };
  const nothing = { settings: {}, plugins: [], platforms: [] };
  for (const [name, row, expected] of [
    [
      "a model",
      { model: "claude-sonnet-4-5" },
      { ...nothing, framework: "anthropic", model: "claude-sonnet-4-5" },
    ],
    ["nothing", {}, { ...nothing, framework: "openai", model: "gpt-6-luna" }],
    [
      "null",
      { framework: null, model: "gemini-3.5-flash" },
      { ...nothing, framework: "google", model: "gemini-3.5-flash" },
    ],
    [
      "a character",
      { character: file },
      {
        framework: "anthropic",
        model: "claude-sonnet-4-5",
        settings: { temperature: 0.2 },
        plugins: ["@elizaos/plugin-discord"],
        platforms: ["discord"],
      },
    ],
    [
      "a character, and a model of its own",
      { character: file, model: "claude-opus-4-5", settings: { temperature: 1 }, platforms: ["web"] },
      {
        framework: "anthropic",
        model: "claude-opus-4-5",
        settings: { temperature: 1 },
        plugins: ["@elizaos/plugin-discord"],
        platforms: ["web"],
      },
    ],
  ] as const) {
    test(name, async () => {
      const { framework, model, settings, plugins, platforms } = await inserted(row);
      assert.deepEqual({ framework, model, settings, plugins, platforms }, expected);
    });
  }

  test("a framework that is named wins, and its models alone are taken", async () => {
    assert.equal((await inserted({ framework: "google", character: file })).framework, "google");
    await assert.rejects(inserted({ framework: "openai", model: "claude-sonnet-4-5" }), /INVALID_MODEL/);
    await assert.rejects(inserted({ model: "no-such-model" }), /INVALID_MODEL/);
  });

  test("nobody else can insert it", async () => {
    for (const caller of [user(bob), anon]) {
      await assert.rejects(
        db.as(caller, (client) =>
          client.query(
            "insert into public.agents (user_id, name, model) values ($1, 'b', 'claude-sonnet-4-5')",
            [alice],
          ),
        ),
        /row-level security|permission denied/,
      );
    }
  });
});

describe("warnings", () => {
  const fields = async (character: unknown, more: object = {}) =>
    ((await agentOf(character, more)).warnings as { field: string }[]).map(({ field }) => field);

  test("name what has no effect", async () => {
    assert.deepEqual(
      await fields({
        name: "Ada",
        modelProvider: "groq",
        settings: { model: "llama-3", voice: { model: "x" } },
        templates: { a: "b" },
        knowledge: ["fact", { path: "a.md" }],
        plugins: [{ name: "inline" }],
      }),
      [
        "character.knowledge",
        "character.modelProvider",
        "character.plugins",
        "character.settings.model",
        "character.settings.voice",
        "character.templates",
      ],
    );
  });

  test("name elizaOS's own setting where nobody looks back", async () => {
    const more = { settings: { reflection: "off" } };
    assert.deepEqual(await fields({ name: "Ada" }, more), ["settings.reflection"]);
    const eliza = {
      ...more,
      plugins: ["@elizaos/plugin-bootstrap"],
      resources: { memory: "768Mi", cpu: "250m" },
    };
    assert.deepEqual(await fields({ name: "Ada" }, eliza), []);
  });

  test("of settings and templates depend on the plugins, and name secrets in plain text", async () => {
    const token = `\${${"MCP_TOKEN"}}`;
    const character = {
      name: "Ada",
      settings: {
        mcp: { servers: [{ env: { API_KEY: "plain-key", OTHER_KEY: token, name: "x" } }] },
        chains: { evm: ["base"] },
        OPENAI_BASE_URL: "https://elsewhere.example",
        DISCORD_API_TOKEN: "flat-token-of-a-file",
        publicKey: "shown",
      },
      templates: { replyTemplate: "x" },
      postExamples: ["p"],
    };
    const plain = ["OPENAI_BASE_URL", "chains", "mcp", "publicKey"].map(
      (name) => `character.settings.${name}`,
    );
    assert.deepEqual(await fields(character), ["character.postExamples", ...plain, "character.templates"]);
    const agent = await agentOf(character, { plugins: ["@elizaos/plugin-discord"] });
    assert.deepEqual(
      agent.warnings.map(({ field }: { field: string }) => field),
      [
        "character.settings.OPENAI_BASE_URL",
        "character.settings.mcp.servers.0.env.API_KEY",
        "resources.memory",
      ],
    );
    assert.match(agent.warnings[1].message, /put the value in environment.*write \$\{API_KEY\} here/);
    assert.equal((await secretsOf(agent.agentId)).DISCORD_API_TOKEN, "flat-token-of-a-file");
    assert.equal(await mentions("flat-token-of-a-file"), "0");
    assert.equal(agent.character.settings.publicKey, "shown");
  });

  test("of settings that a character cannot set are those that the runtime leaves out", async () => {
    const names = ["OPENAI_BASE_URL", "google_x", "POSTGRES_URL", "PGLITE_DATA_DIR", "SECRET_SALT", "NODE_X"];
    for (const name of [...names, "DISCORD_X", "mcp", "chains", "OPENAIX"]) {
      const { rows } = await db.pool.query("select private.is_platform_setting($1) as it", [name]);
      assert.equal(rows[0].it, isPlatformSetting(name), name);
    }
  });

  test("name a platform that no plugin serves", async () => {
    const warnings = (await agentOf(null, { platforms: ["discrod", "web", "telegram"], plugins: [] }))
      .warnings;
    assert.deepEqual(
      warnings.map(({ field }: { field: string }) => field),
      ["platforms.0", "platforms.2"],
    );
    assert.match(warnings[0].message, /No plugin of this agent serves discrod/);
    assert.deepEqual(
      await fields(null, {
        platforms: ["discord"],
        plugins: ["@elizaos/plugin-discord"],
        resources: { memory: "768Mi" },
      }),
      [],
    );
  });
});

test("a bare character file is one sentence with the cure", async () => {
  const { status, body } = await launch({ name: "Ada", bio: ["b"], style: { all: [] }, clients: [] });
  assert.equal(status, 400);
  assert.deepEqual(JSON.parse(body.details), {
    body: 'This is a character file: send it as {"agentName": "…", "character": …}',
  });
});

describe("memory that a definition does not name", () => {
  const eliza = ["@elizaos/plugin-telegram"];
  const memoryOf = async (id: string) =>
    (await db.pool.query("select resources from public.agents where id = $1", [id])).rows[0].resources.memory;

  test("follows the engine at a launch, and the answer says so", async () => {
    const agent = await agentOf(null, { plugins: eliza, resources: { cpu: "500m" } });
    assert.deepEqual(
      [await memoryOf(agent.agentId), agent.warnings],
      [
        "768Mi",
        [
          {
            field: "resources.memory",
            message: "Set to 768Mi: agents with elizaOS plugins need more than other agents",
          },
        ],
      ],
    );
    assert.equal(await memoryOf((await agentOf(null)).agentId), "512Mi");
    const small = await agentOf(null, { plugins: eliza, resources: { memory: "512Mi" } });
    assert.equal(await memoryOf(small.agentId), "512Mi");
    assert.equal(small.warnings[0].message, "Runs with 768Mi, the minimum for agents with elizaOS plugins");
    const bytes = async (id: string) =>
      (
        await db.pool.query(
          `select d.memory_bytes::float8 as counted, (r.spec -> 'resources' -> 'memoryBytes')::float8 as given
           from private.agent_deployments d join public.agent_revisions r using (agent_id, revision) where agent_id = $1`,
          [id],
        )
      ).rows[0];
    assert.deepEqual(await bytes(small.agentId), { counted: 768 * 2 ** 20, given: 768 * 2 ** 20 });
    const change = { agent_id: small.agentId, changes: { plugins: [], resources: { memory: "512Mi" } } };
    assert.equal((await rpc(db, user(alice), "update_agent", change)).status, 202);
    assert.deepEqual(await bytes(small.agentId), { counted: 2 ** 29, given: 2 ** 29 });
  });

  test("follows it at an insert and at a change, where it was left at the default", async () => {
    const insert = (more: string) =>
      db.as(user(alice), (client) =>
        client.query(
          `insert into public.agents (name, plugins, resources) values ('b', ${more}) returning id`,
        ),
      );
    const { rows } = await insert(`'{"@elizaos/plugin-telegram"}', '{}'`);
    assert.equal(await memoryOf(rows[0].id), "768Mi");
    const change = (id: string, changes: object) =>
      rpc(db, user(alice), "update_agent", { agent_id: id, changes });
    const { agentId } = await agentOf(null);
    await change(agentId, { plugins: eliza });
    assert.equal(await memoryOf(agentId), "768Mi");
    await change(agentId, { plugins: [] });
    assert.equal(await memoryOf(agentId), "512Mi");
    const own = await agentOf(null, { resources: { memory: "2Gi" } });
    await change(own.agentId, { plugins: eliza });
    assert.equal(await memoryOf(own.agentId), "2Gi");
  });

  test("a size that a change names, or that a revision ran with, is kept", async () => {
    const change = (id: string, changes: object) =>
      rpc(db, user(alice), "update_agent", { agent_id: id, changes });
    const { agentId } = await agentOf(null);
    await change(agentId, { plugins: eliza, resources: { memory: "512Mi" } });
    assert.equal(await memoryOf(agentId), "512Mi");
    await change(agentId, { plugins: [] });
    const { status } = await rpc(db, user(alice), "rollback_agent", { agent_id: agentId, revision: 2 });
    assert.equal(status, 202);
    assert.equal(await memoryOf(agentId), "512Mi");
    await change(agentId, { plugins: [] });
    await change(agentId, { plugins: eliza });
    assert.equal(await memoryOf(agentId), "768Mi", "the next change follows again");
  });
});
