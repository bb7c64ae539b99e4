/** An agent as one document: exported here, imported here or elsewhere. Secrets by name only, assets listed only. */
import { z } from "zod";
import { launchRequest, supabaseConfig } from "./definition.ts";
import {
  aBody,
  agentId,
  agentStatus,
  anObject,
  aText,
  aTextList,
  eventId,
  list,
  text,
  timestamp,
  userId,
  whole,
} from "./primitives.ts";
import { resourceChanges } from "./quantities.ts";

export const BUNDLE_FORMAT = "agent-launchpad/agent";
export const BUNDLE_VERSION = 1;
/** Of a bundle as JSON; what an export holds is bounded so that it fits. */
export const MAX_BUNDLE_BYTES = 8 * 1024 * 1024;

const aTimestamp = "Must be a timestamp such as 2026-01-15T10:30:00Z";
const moment = z.iso.datetime({ offset: true, error: aTimestamp }).meta({ example: "2026-01-15T10:30:00Z" });

/** What `POST /api/agents` takes, without secrets. */
const definition = launchRequest
  .omit({ environment: true })
  .extend({
    resources: resourceChanges.nullish(),
    supabase_config: supabaseConfig.omit({ database_url: true }).nullish(),
  })
  .meta({ id: "AgentDefinition" });

const revision = z.strictObject(
  {
    revision: whole(1, 999_999_999),
    reason: text(200).nullish(),
    createdAt: moment,
    definition,
  },
  anObject,
);

const message = z.strictObject(
  {
    role: z.enum(["user", "assistant", "system", "tool"], "Must be user, assistant, system or tool"),
    content: z.string(aText),
    createdAt: moment,
  },
  anObject,
);

const conversation = z.strictObject(
  { conversationId: z.string(aText).nullish(), messages: z.array(message, "Must be a list") },
  anObject,
);

const asset = z.looseObject(
  {
    bucket: z.string(aText),
    path: z.string(aText).meta({ description: "Below the agent's folder." }),
    size: z.number().nullish(),
    contentType: z.string(aText).nullish(),
    updatedAt: moment.nullish(),
  },
  anObject,
);

/** GET /api/agents/{agentId}/export, and the body of POST /api/agents/import */
export const agentBundle = z
  .strictObject(
    {
      format: z.literal(BUNDLE_FORMAT, `Must be ${BUNDLE_FORMAT}`),
      version: z.literal(BUNDLE_VERSION, `Must be ${BUNDLE_VERSION}, the version this project reads`),
      exportedAt: moment.nullish(),
      agentId: z.string(aText).nullish().meta({ description: "Which agent it was." }),
      definition,
      secrets: z
        .array(z.string(aText), aTextList)
        .nullish()
        .meta({ description: "Names of the secrets; the values are in no bundle." }),
      revisions: list(revision, 500).nullish(),
      conversations: z.array(conversation, "Must be a list").nullish(),
      assets: z
        .array(asset, "Must be a list")
        .nullish()
        .meta({ description: "Files in Storage; their bytes are not part of the document." }),
      omitted: z
        .record(z.string(), z.int(), anObject)
        .nullish()
        .meta({ description: "How many of the oldest did not fit, by kind." }),
    },
    aBody,
  )
  .meta({ id: "AgentBundle" });

const count = z.int().min(0);

/** POST /api/agents/import */
export const imported = z
  .object({
    agentId,
    name: z.string(),
    user_id: userId,
    status: agentStatus,
    createdAt: timestamp,
    revisions: count,
    skippedRevisions: z.array(z.int()).meta({
      description: "Left out, because this project lacks their framework or model.",
    }),
    conversations: count,
    messages: count,
    missingSecrets: z.array(z.string()).meta({ description: "Names of the secrets that are to be set." }),
    missingAssets: count.meta({ description: "Files of the bundle that are to be uploaded." }),
    supabase_event_id: eventId,
  })
  .meta({ id: "ImportedAgent" });

export type AgentBundle = z.infer<typeof agentBundle>;
export type AgentBundleInput = z.input<typeof agentBundle>;
export type ImportedAgent = z.infer<typeof imported>;
