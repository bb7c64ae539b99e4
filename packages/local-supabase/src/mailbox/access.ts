/** Who may read the mailbox: its mails hold links that sign in, so an address on this machine alone is not enough. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { StackKeys } from "../keys.ts";

const COOKIE = "launchpad_mailbox";

/** The key in the mailbox's address; made from the secret key, so that it lasts as long as that. */
export function mailboxKey({ secretKey }: Pick<StackKeys, "secretKey">): string {
  return createHmac("sha256", secretKey).update("mailbox").digest("base64url").slice(0, 24);
}

/** The address that opens the mailbox in a browser. */
export const mailboxAddress = (gatewayUrl: string, keys: Pick<StackKeys, "secretKey">): string =>
  `${gatewayUrl}/mailbox?key=${mailboxKey(keys)}`;

/**
 * Whether a request may read the mails: with the mailbox's key in `?key=` or in the page's cookie, or with the secret key.
 * @param given the key in the query
 */
export function mayReadMail(
  { headers }: Pick<IncomingMessage, "headers">,
  given: string | undefined,
  keys: Pick<StackKeys, "secretKey">,
): boolean {
  const key = mailboxKey(keys);
  const cookie = headers.cookie
    ?.split(";")
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith(`${COOKIE}=`))
    ?.slice(COOKIE.length + 1);
  return same(given, key) || same(cookie, key) || same(headers.apikey?.toString(), keys.secretKey);
}

/** Lets the page that was opened by its address be opened again, by the same browser and from no other site. */
export const mailboxCookie = (keys: Pick<StackKeys, "secretKey">): string =>
  `${COOKIE}=${mailboxKey(keys)}; Path=/mailbox; HttpOnly; SameSite=Strict`;

function same(given: string | undefined, expected: string): boolean {
  if (given === undefined) return false;
  const digest = (text: string) => createHmac("sha256", "compare").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
