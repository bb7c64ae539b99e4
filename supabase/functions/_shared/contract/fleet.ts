/** Revisions of one agent, and verbs over all agents of a user. */
import { z } from "zod";
import { agentId, nextCursor, timestamp, userId } from "./primitives.ts";

const revision = z
  .object({
    revision: z.int().min(1),
    reason: z.string().meta({ example: "deploy" }),
    createdBy: z.string().meta({ description: "`user:<id>`, or `system`." }),
    createdAt: timestamp,
    current: z.boolean().nullable().meta({ description: "Whether this is what is wanted now." }),
    spec: z
      .record(z.string(), z.unknown())
      .meta({ description: "The whole configuration; secrets by name and version only." }),
  })
  .meta({ id: "Revision" });

/** GET …/revisions, newest first */
export const revisionList = z
  .object({
    agentId,
    user_id: userId,
    revisions: z.array(revision),
    total: z.int().min(0),
    limit: z.int(),
    offset: z.int(),
    nextCursor,
  })
  .meta({ id: "RevisionList" });

/** POST /api/agents/stop-all */
export const allStopped = z
  .object({
    user_id: userId,
    status: z.literal("STOPPING"),
    stopped: z.int().min(0).meta({ description: "How many agents this request stops." }),
    agents: z.array(agentId),
    message: z.string(),
    timestamp,
  })
  .meta({ id: "StoppedAgents" });

export type Revision = z.infer<typeof revision>;
export type RevisionList = z.infer<typeof revisionList>;
export type StoppedAgents = z.infer<typeof allStopped>;
