/** Keys of an agent: what calls it at its own address. */
import { z } from "zod";
import { aBody, aText, list, nextCursor, text, timestamp } from "./primitives.ts";

const ORIGIN = /^https?:\/\/([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?$/;
const OWN_PORT = /^(https:\/\/.*:443|http:\/\/.*:80)$/;
const anOrigin =
  'Must be an origin such as "https://app.example.com": scheme, host in lower case, port if it is not the default';

const aMoment = "Must be a timestamp such as 2027-01-15T10:30:00Z, in the future and within ten years";

export const keyScopes = ["invoke", "read"] as const;

const scopes = list(z.enum(keyScopes, 'Must be "invoke" or "read"'), 2);
const origins = list(
  z
    .string(aText)
    .max(300, anOrigin)
    .regex(ORIGIN, anOrigin)
    .refine((value) => !OWN_PORT.test(value), anOrigin),
  20,
);

/** POST /api/agents/{agentId}/keys */
export const keyRequest = z
  .strictObject(
    {
      name: text(100, 1).meta({ description: "What the key is for." }),
      scopes: scopes.min(1, 'Must be "invoke", "read" or both').nullish().meta({
        description: "`invoke`: send messages. `read`: read the agent's health. Left out: `invoke`.",
      }),
      expiresAt: z.iso
        .datetime({ offset: true, error: ({ input }) => (typeof input === "string" ? aMoment : aText) })
        .nullish()
        .meta({ description: "In the future and within ten years; left out: never." }),
      origins: origins.nullish().meta({
        description: "The web pages that may use the key (CORS). Left out: none, only programs.",
        example: ["https://app.example.com"],
      }),
    },
    aBody,
  )
  .meta({ id: "CreateAgentKeyRequest" });

const about = {
  id: z.uuid(),
  name: z.string(),
  prefix: z.string().meta({ description: "The key's first characters.", example: "lp_4f9aKx0Q" }),
  scopes: z.array(z.enum(keyScopes)),
  origins: z.array(z.string()),
  expiresAt: timestamp.nullable(),
  createdAt: timestamp,
};

/** What the POST answers: the key itself, this once. */
export const createdKey = z
  .object({
    ...about,
    key: z.string().meta({ description: "The key. It is not stored and not shown again." }),
  })
  .meta({ id: "CreatedAgentKey" });

const agentKey = z
  .object({ ...about, lastUsedAt: timestamp.nullable(), revokedAt: timestamp.nullable() })
  .meta({ id: "AgentKey" });

/** GET /api/agents/{agentId}/keys */
export const keyList = z
  .object({ keys: z.array(agentKey), total: z.int().min(0), limit: z.int(), offset: z.int(), nextCursor })
  .meta({ id: "AgentKeyList" });

export type CreateAgentKeyRequest = z.input<typeof keyRequest>;
export type CreatedAgentKey = z.infer<typeof createdKey>;
export type AgentKey = z.infer<typeof agentKey>;
export type AgentKeyList = z.infer<typeof keyList>;
