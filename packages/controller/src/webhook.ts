// Reads the database's webhook hints.

import { z } from "zod";

/** Header of a hint that comes from another controller: it is not told on. */
export const RELAYED = "x-launchpad-relayed";

const hintSchema = z.object({
  agentId: z.string().max(100).optional(),
  generation: z.number().int().optional(),
  reason: z.string().max(100).optional(),
});

export type WebhookHint = z.infer<typeof hintSchema>;

/** Reads a genuine body; what cannot be understood still hints that something changed. */
export function readHint(body: Uint8Array): WebhookHint {
  try {
    const parsed = hintSchema.safeParse(JSON.parse(Buffer.from(body).toString("utf8")));
    return parsed.success ? parsed.data : {};
  } catch {
    return {};
  }
}
