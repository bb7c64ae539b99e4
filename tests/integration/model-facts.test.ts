// What a model takes, by three sources that must agree: the catalogue (what SQL refuses to set), the runtime (what it leaves
// out of a call), and what each provider's package really sends, recorded by a local stub for every setting and model.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { generateText } from "ai";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { Framework, ModelSettings } from "../../packages/agent-runtime/src/config.ts";
import {
  factsSchema,
  fitSettings,
  type ModelFacts,
} from "../../packages/agent-runtime/src/engines/model/facts.ts";
import { metered } from "../../packages/agent-runtime/src/engines/model/metered.ts";
import { createLanguageModel } from "../../packages/agent-runtime/src/engines/model/providers.ts";
import type { Reserving } from "../../packages/agent-runtime/src/meter.ts";
import { settings as contractSettings } from "../../supabase/functions/_shared/contract/definition.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { type ProviderStub, startProviderStub } from "../helpers/providers.ts";
import { createUnlimitedDatabase } from "../helpers/sql-api.ts";

let db: TestDatabase;
let stub: ProviderStub;
let models: { framework: Framework; name: string; facts: ModelFacts }[];

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  stub = await startProviderStub();
  globalThis.AI_SDK_LOG_WARNINGS = false;
  const { rows } = await db.pool.query(
    "select framework, name, private.model_facts(framework, name) as facts from public.models where framework <> 'echo' order by framework, name",
  );
  models = rows.map(({ framework, name, facts }) => ({
    framework,
    name,
    facts: factsSchema.parse(facts) ?? {},
  }));
});
afterAll(async () => {
  await stub.close();
  await db.destroy();
});

/** Each setting on its own, at its ordinary values and beyond the limits that some model has. */
const CASES: Record<string, ModelSettings> = {
  none: {},
  temperature: { temperature: 0.3 },
  "temperature 1": { temperature: 1 },
  "a hot temperature": { temperature: 1.5 },
  top_p: { top_p: 0.2 },
  "temperature with top_p": { temperature: 0.3, top_p: 0.2 },
  presence_penalty: { presence_penalty: 0.5 },
  frequency_penalty: { frequency_penalty: -0.5 },
  stop: { stop: ["END"] },
  "a stop of white space": { stop: ["\n\n"] },
  "five stops": { stop: ["a", "b", "c", "d", "e"] },
  "six stops": { stop: ["a", "b", "c", "d", "e", "f"] },
  max_tokens: { max_tokens: 100 },
  "many max_tokens": { max_tokens: 500_000 },
  "values that change nothing": { top_p: 1, presence_penalty: 0, frequency_penalty: 0, stop: [] },
};

/** What went over the wire, in our names. */
function sent(): ModelSettings & { effort?: unknown; api?: string } {
  const { path, body } = stub.requests.at(-1) as unknown as { path: string; body: Record<string, never> };
  const google = (body.generationConfig ?? {}) as Record<string, never>;
  const all: Record<string, unknown> = {
    temperature: body.temperature ?? google.temperature,
    top_p: body.top_p ?? google.topP,
    presence_penalty: body.presence_penalty ?? google.presencePenalty,
    frequency_penalty: body.frequency_penalty ?? google.frequencyPenalty,
    stop: body.stop ?? body.stop_sequences ?? google.stopSequences,
    max_tokens:
      body.max_tokens ?? body.max_completion_tokens ?? body.max_output_tokens ?? google.maxOutputTokens,
    effort: body.reasoning_effort ?? (body.reasoning as { effort?: unknown } | undefined)?.effort,
    api: path.endsWith("/responses") ? "responses" : "chat",
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

async function call(framework: Framework, name: string, settings: ModelSettings, facts?: ModelFacts) {
  const variables = {
    openai: "OPENAI",
    anthropic: "ANTHROPIC",
    google: "GOOGLE_GENERATIVE_AI",
    echo: "ECHO",
  };
  const access = {
    framework,
    openaiApi: "catalogue" as const,
    provider: {
      apiKey: "k",
      baseUrl: stub.environment[`${variables[framework]}_BASE_URL`],
      keyVariable: "",
    },
  };
  const reserving: Reserving = {
    reserve: async ({ outputTokens }) => ({
      outputTokens,
      facts,
      settle: () => undefined,
      release: () => undefined,
    }),
  };
  const model = metered(await createLanguageModel(access, name), reserving, {
    name,
    framework,
    settings,
  });
  const { warnings } = await generateText({
    model,
    prompt: "hello",
    maxOutputTokens: settings.max_tokens ?? 4096,
  });
  return { warnings: warnings ?? [], ...sent() };
}

const problemsOf = async (framework: string, name: string, settings: ModelSettings) => {
  const { rows } = await db.pool.query("select private.model_setting_problems($1, $2, $3) as p", [
    framework,
    name,
    settings,
  ]);
  return Object.keys(rows[0].p).sort();
};

test("every model of the catalogue has all its facts, but those of local servers", () => {
  const local = readFileSync("supabase/seed.sql", "utf8");
  for (const { framework, name, facts } of models) {
    if (local.includes(`'${name}'`)) continue;
    const known = ["takes", "maxOutputTokens", "maxTemperature", "thinks", "callsTools"] as const;
    for (const fact of known) assert.notEqual(facts[fact], undefined, `${framework}/${name}: ${fact}`);
    if (framework === "openai") assert.notEqual(facts.api, undefined, name);
  }
});

test("the contract has exactly the settings that the catalogue judges, with bounds that no model's limits pass", async () => {
  const { rows } = await db.pool.query(
    "select pg_get_constraintdef(oid) as definition from pg_constraint where conname = 'models_takes_known'",
  );
  const judged = [...rows[0].definition.matchAll(/'([a-z_]+)'/g)].map(([, name]) => name);
  // Whether elizaOS reflects is no parameter of a model.
  assert.deepEqual(
    [...judged, "max_tokens", "reflection"].sort(),
    Object.keys(contractSettings.shape).sort(),
  );
  for (const [title, settings] of Object.entries(CASES)) {
    assert.ok(contractSettings.safeParse(settings).success, title);
  }
  for (const { name, facts } of models) {
    const limits = { temperature: facts.maxTemperature, max_tokens: facts.maxOutputTokens };
    assert.ok(contractSettings.safeParse(limits).success, name);
  }
});

for (const [title, settings] of Object.entries(CASES)) {
  describe(title, () => {
    test("is refused by SQL where the runtime leaves it out, with the same field", async () => {
      for (const { framework, name, facts } of models) {
        const left = fitSettings(settings, facts, name).warnings.map(({ field }) => field);
        assert.deepEqual(await problemsOf(framework, name, settings), [...new Set(left)].sort(), name);
      }
    });

    test("reaches the provider as it was fitted, and the package changes nothing more", async () => {
      for (const { framework, name, facts } of models) {
        const { call: fitted, withoutThinking, warnings } = fitSettings(settings, facts, name);
        const { warnings: told, effort, api, ...wire } = await call(framework, name, settings, facts);
        const expected = {
          temperature: fitted.temperature,
          top_p: fitted.topP,
          presence_penalty: fitted.presencePenalty,
          frequency_penalty: fitted.frequencyPenalty,
          stop: fitted.stopSequences,
          max_tokens: fitted.maxOutputTokens,
        };
        assert.deepEqual(
          wire,
          Object.fromEntries(Object.entries(expected).filter(([, value]) => value !== undefined)),
          name,
        );
        assert.deepEqual(
          told.map((warning) => "details" in warning && warning.details),
          warnings.map(({ message }) => message),
          name,
        );
        assert.equal(effort, withoutThinking ? "none" : undefined, name);
        assert.equal(api, facts.api ?? "chat", name);
      }
    });
  });
}

test("a package on its own sends or drops in silence what the catalogue refuses, never more than it takes", async () => {
  // What the packages drop is what the catalogue says that the model does not take.
  for (const { framework, name, facts } of models) {
    for (const field of ["temperature", "top_p", "presence_penalty", "frequency_penalty", "stop"] as const) {
      const settings = CASES[field] as ModelSettings;
      const wire = await call(framework, name, settings, { api: facts.api ?? "chat" });
      if (!(field in wire)) {
        const allowed = facts.thinks === "unless_sampled" && (field === "temperature" || field === "top_p");
        assert.ok(
          allowed || !facts.takes?.includes(field),
          `${name} drops ${field}, which the catalogue says it takes`,
        );
      }
    }
  }
});
