import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";

/** How far a webhook's time may be off, either way. */
export const TOLERANCE_SECONDS = 300;

/** Header of a hint that comes from another controller: it is not told on. */
export const RELAYED = "x-launchpad-relayed";

const hintSchema = z.object({
  agentId: z.string().max(100).optional(),
  generation: z.number().int().optional(),
  reason: z.string().max(100).optional(),
});

export type WebhookHint = z.infer<typeof hintSchema>;

/** The signature of a body sent at a time, as `X-Launchpad-Signature` carries it. */
export function sign(secret: string, timestamp: string, body: Uint8Array | string): string {
  return `v1=${createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest("hex")}`;
}

/**
 * Whether the body is from who knows the secret, and of now. Compared in constant time; a replay within the tolerance
 * passes, and does no harm: a webhook is only a hint.
 * @param now in milliseconds
 */
export function isGenuine(
  secret: string,
  headers: { timestamp: string | undefined; signature: string | undefined },
  body: Uint8Array,
  now: number,
): boolean {
  const { signature, timestamp } = headers;
  if (timestamp === undefined || signature === undefined || !/^\d{1,12}$/.test(timestamp)) return false;
  if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const expected = Buffer.from(sign(secret, timestamp, body));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** Reads a genuine body; what cannot be understood still hints that something changed. */
export function readHint(body: Uint8Array): WebhookHint {
  try {
    const parsed = hintSchema.safeParse(JSON.parse(Buffer.from(body).toString("utf8")));
    return parsed.success ? parsed.data : {};
  } catch {
    return {};
  }
}
