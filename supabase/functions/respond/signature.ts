/** Whether a call comes from the database: HMAC-SHA256 over its time and its very bytes. */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";

/** How far a call's time may be off, either way. */
const TOLERANCE_SECONDS = 300;

/**
 * Judges a call. A replay within the tolerance passes, and does no harm: a call is only a hint.
 * @param secret the shared secret
 * @param headers the call's headers
 * @param body the body's exact bytes
 * @param now in milliseconds
 */
export function isGenuine(secret: string, headers: Headers, body: Uint8Array, now: number): boolean {
  const timestamp = headers.get("x-launchpad-timestamp") ?? "";
  const signature = headers.get("x-launchpad-signature") ?? "";
  if (!/^\d{1,12}$/.test(timestamp)) return false;
  if (Math.abs(now / 1000 - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const digest = createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest("hex");
  const expected = Buffer.from(`v1=${digest}`);
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
