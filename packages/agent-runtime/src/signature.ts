/** Calls between the platform's parts: HMAC-SHA256 over a time and the very bytes. Shared with the edge
 * functions and the controller. */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";

/** How far a call's time may be off, either way. */
const TOLERANCE_SECONDS = 300;
const TIMESTAMP = "x-launchpad-timestamp";
const SIGNATURE = "x-launchpad-signature";

/**
 * The headers that make a call genuine.
 * @param secret the shared secret
 * @param body the body's exact bytes
 * @param now in milliseconds
 */
export function signed(secret: string, body: Uint8Array, now: number): Record<string, string> {
  const timestamp = String(Math.floor(now / 1000));
  return { [TIMESTAMP]: timestamp, [SIGNATURE]: sign(secret, timestamp, body) };
}

/**
 * Judges a call. A replay within the tolerance passes: what is signed must be harmless to repeat.
 * @param secret the shared secret
 * @param headers the call's headers
 * @param body the body's exact bytes
 * @param now in milliseconds
 */
export function isGenuine(
  secret: string,
  headers: Pick<Headers, "get">,
  body: Uint8Array,
  now: number,
): boolean {
  const timestamp = headers.get(TIMESTAMP) ?? "";
  if (!/^\d{1,12}$/.test(timestamp)) return false;
  if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const expected = Buffer.from(sign(secret, timestamp, body));
  const given = Buffer.from(headers.get(SIGNATURE) ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/**
 * What signs the platform's messages to one agent. The database derives the same (private.agent_environment) and gives it
 * to that agent alone, which can learn neither the secret nor another agent's key from it.
 */
export function messageKey(respondSecret: string, agentId: string): string {
  return createHmac("sha256", respondSecret).update(`messages of ${agentId}`).digest("hex");
}

/** The signature of a body sent at a time, as `X-Launchpad-Signature` carries it. */
export function sign(secret: string, timestamp: string, body: Uint8Array | string): string {
  return `v1=${createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest("hex")}`;
}
