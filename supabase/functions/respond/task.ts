/** One answer that is wanted, as claim_replies tells it. */
import { z } from "zod";
import type { Step } from "../../../packages/agent-runtime/src/abilities/steps.ts";
import { toolSchema } from "../../../packages/agent-runtime/src/abilities/tools/definition.ts";
import type { ModelSettings } from "../../../packages/agent-runtime/src/config.ts";
import { factsSchema, type Warning } from "../../../packages/agent-runtime/src/engines/model/facts.ts";
import type { Settlement } from "../../../packages/agent-runtime/src/meter.ts";
import { embeddingModelSchema } from "../_shared/embeddings.ts";

const taskSchema = z.object({
  jobId: z.string(),
  leaseToken: z.string(),
  attempt: z.number(),
  turn: z.number(),
  userId: z.string(),
  /** What the person calls himself. */
  userName: z.string().nullish(),
  /** The message that is answered. */
  question: z.string().nullish(),
  conversationId: z.string(),
  agent: z.object({
    id: z.string(),
    name: z.string(),
    role: z.string().nullish(),
    framework: z.enum(["openai", "anthropic", "google", "echo"]),
    model: z.string(),
    systemPrompt: z.string().nullish(),
    settings: z.custom<ModelSettings>((value) => typeof value === "object" && value !== null),
    character: z.record(z.string(), z.unknown()).nullish(),
  }),
  swarm: z.object({ id: z.string(), name: z.string(), members: z.array(z.string()) }).nullish(),
  messages: z.array(
    z.object({
      id: z.string(),
      /** self: the answering agent's own; agent: another agent's. */
      role: z.enum(["self", "agent", "user"]),
      name: z.string().nullish(),
      content: z.string(),
    }),
  ),
  tools: z.array(toolSchema),
  /** MCP servers whose tools are the agent's; none where its own runtime answers. */
  mcpServers: z.array(z.object({ plugin: z.string(), secret: z.string().nullable() })).nullish(),
  /** Plugins that the runtime brings, with what they read of the agent's environment; none where its own runtime answers. */
  ownPlugins: z
    .object({
      names: z.array(z.string()),
      project: z.string().nullish(),
      environment: z.record(z.string(), z.string()),
    })
    .nullish(),
  /** Whether the agent has knowledge to look in. */
  knowledge: z.boolean(),
  /** The model that embeds its question, where the knowledge has vectors. */
  embedding: embeddingModelSchema.nullish(),
  /** The agent's or the user's own key for the provider. */
  apiKey: z.string().nullish(),
  /** What the claim reserved for the first call of a model. */
  reservation: z.object({
    id: z.string(),
    inputTokens: z.number(),
    outputTokens: z.number(),
    facts: factsSchema,
  }),
  /** Whether an earlier attempt began to act. */
  begun: z.boolean().optional(),
  /** Where the agent's own runtime answers; null where it is not deployed. */
  url: z.string().nullish(),
});

export type Task = z.infer<typeof taskSchema>;

/** Reads what claim_replies returned. Throws ZodError where database and function do not fit together. */
export const readTasks = (body: unknown): Task[] => z.array(taskSchema).parse(body);

/** What answering came to. */
export interface Answer {
  readonly content: string;
  /** Why content is empty: the agent chose to be silent. */
  readonly silence?: string | undefined;
  readonly model: string;
  /** Left out where the agent's runtime does not know. */
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  /** Settings that had no effect as they are. */
  readonly warnings: readonly Warning[];
  /** What is left to settle of its calls; empty where the agent's runtime settles them. */
  readonly settled: readonly Settlement[];
  /** Steps that were not reported on the way. */
  readonly steps?: readonly Step[];
}
