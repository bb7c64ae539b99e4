/** What runs: the bodies that create and change an agent. A null field counts as left out at creation, and clears in a change. */
import { z } from "zod";
import { character } from "./character.ts";
import { plugin } from "./plugins.ts";
import { aBody, anObject, aText, flag, list, numeric, text, textBytes, whole } from "./primitives.ts";
import { resourceChanges, resources, scalingPolicy } from "./quantities.ts";

const KIBI = 1024;

export const PLATFORM = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const ENVIRONMENT_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

const plugins = list(plugin, 50).meta({ example: ["@elizaos/plugin-discord"] });

const aPlatform = 'Must be a short lower-case name such as "discord"';
const platforms = list(z.string(aText).regex(PLATFORM, aPlatform), 20).meta({ example: ["discord"] });

/** Names and values together: on Kubernetes they are one Secret. */
const secretBytes = (secrets: Record<string, string | null>): number =>
  Object.entries(secrets).reduce(
    (sum, [name, value]) => sum + (value === null ? 0 : new TextEncoder().encode(name + value).length),
    0,
  );

const environment = z
  .record(
    z
      .string()
      .regex(ENVIRONMENT_NAME, "Name must be letters, digits and underscores, not beginning with a digit"),
    textBytes(32 * KIBI).nullable(),
    anObject,
  )
  .refine((value) => Object.keys(value).length <= 100, { error: "Must have at most 100 entries" })
  .refine((value) => secretBytes(value) <= 512 * KIBI, {
    error: "All secrets of an agent have at most 512 KiB together",
  })
  .meta({
    maxProperties: 100,
    description: "Secrets, as environment variables; null removes one. Kept in Vault and never shown again.",
  });

export const supabaseConfig = z
  .strictObject(
    {
      project_ref: text(100).nullish(),
      database_url: text(4096).nullish().meta({ description: "Kept in Vault and never shown again." }),
      real_time: z
        .strictObject({ enabled: flag().nullish(), channels: list(text(200), 100).nullish() }, anObject)
        .nullish(),
      storage: z
        .strictObject({ bucket: text(100).nullish(), public_access: flag().nullish() }, anObject)
        .nullish(),
    },
    anObject,
  )
  .meta({ id: "SupabaseConfig" });

/** Model configuration, as in the HIVE specification. */
export const settings = z
  .strictObject(
    {
      temperature: numeric(0, 2).nullish(),
      max_tokens: whole(1, 1_000_000).nullish(),
      presence_penalty: numeric(-2, 2).nullish(),
      frequency_penalty: numeric(-2, 2).nullish(),
      top_p: numeric(0, 1).nullish(),
      stop: list(text(200), 16).nullish(),
      reflection: z.enum(["on", "off"], "Must be on or off").nullish().meta({
        description:
          "Of elizaOS: whether it looks back on a conversation now and then, with a second call of the model.",
      }),
    },
    anObject,
  )
  .meta({ id: "ModelSettings" });

const agentName = text(100, 1).meta({
  description: "What people call the agent.",
  example: "my-trading-bot",
});

const idle = z.strictObject({ afterSeconds: whole(60, 86_400) }, anObject).meta({
  description:
    "After how many idle seconds the agent falls asleep: it holds no replica until a request, a message or its owner wakes it. Left out or null: never.",
  example: { afterSeconds: 900 },
});

const fields = {
  description: text(2000).nullish(),
  role: text(200).nullish().meta({ description: "Title of the agent." }),
  avatar: text(2048)
    .refine((value) => /^https?:\/\/\S+$/.test(value), { error: "Must be an http or https URL" })
    .nullish(),
  character: character.nullish(),
  plugins: plugins.nullish(),
  platforms: platforms.nullish(),
  environment: environment.nullish(),
  supabase_config: supabaseConfig.nullish(),
  scaling_policy: scalingPolicy.nullish(),
  framework: z.string(aText).nullish().meta({
    description:
      "AI provider. Left out or empty in a new agent: it follows from the model and the character.",
    example: "openai",
  }),
  model: z
    .string(aText)
    .nullish()
    .meta({ description: "Left out: the provider's default.", example: "gpt-6-luna" }),
  system_prompt: text(64 * KIBI).nullish(),
  settings: settings.nullish(),
  visibility: z.enum(["private", "public"], "Must be private or public").nullish().meta({
    description:
      "Who may send messages to the agent's address. `private` (the default): its owner and holders of its keys. `public`: everybody, within `maxTokensPerDay` and 20 messages a minute per address.",
  }),
  maxTokensPerDay: whole(0, 999_999_999).nullish().meta({
    description: "Tokens that the agent may spend in a day (UTC). A public agent needs one.",
  }),
  idle: idle.nullish(),
};

/** POST /api/agents */
export const launchRequest = z
  .strictObject({ agentName, ...fields, resources: resources.nullish() }, aBody)
  .meta({ id: "LaunchAgentRequest" });

/** PUT /api/agents/{agentId}: a field left out stays, null clears one; objects with parts are merged part by part. */
export const updateRequest = z
  .strictObject({ agentName: agentName.optional(), ...fields, resources: resourceChanges.nullish() }, aBody)
  .refine((value) => Object.keys(value).length > 0, {
    error: "Must name at least one field to change",
    when: ({ issues }) => issues.length === 0,
  })
  .meta({ id: "UpdateAgentRequest", minProperties: 1 });

/** POST /api/agents/{agentId}/scale: a policy left out stays, null removes it. */
export const scaleRequest = z
  .strictObject({ replicas: whole(0, 100), scaling_policy: scalingPolicy.nullish() }, aBody)
  .refine(
    ({ replicas, scaling_policy: policy }) => within(replicas, policy?.min_replicas, policy?.max_replicas),
    {
      path: ["replicas"],
      error: "Must lie within scaling_policy",
      when: ({ issues }) => issues.length === 0,
    },
  )
  .meta({ id: "ScaleAgentRequest" });

function within(value: number, min: number | null | undefined, max: number | null | undefined): boolean {
  return value >= (min ?? 0) && value <= (max ?? value);
}

/** POST /api/agents/{agentId}/rollback: no revision means the one before the present. */
export const rollbackRequest = z
  .strictObject({ revision: whole(1, 999_999_999).nullish() }, aBody)
  .meta({ id: "RollbackAgentRequest" });

/** Verbs that take no input accept no body, or an empty object. */
export const emptyRequest = z.strictObject({}, aBody).meta({ id: "EmptyRequest" });

export type LaunchAgentRequest = z.input<typeof launchRequest>;
export type UpdateAgentRequest = z.input<typeof updateRequest>;
export type ScaleAgentRequest = z.input<typeof scaleRequest>;
export type RollbackAgentRequest = z.input<typeof rollbackRequest>;
