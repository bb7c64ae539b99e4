// Auth's rate limits: by IP address for requests, for the whole project for mails.

import type { AuthSettings } from "../../config/auth-settings.ts";
import { tooMany } from "../errors.ts";

/** What is limited by address. */
export type Limited =
  | "anonymous"
  | "client_registration"
  | "factor_challenge"
  | "factor_verify"
  /** Of a code or a password, by whose it is: it counts wherever it comes from. */
  | "guess"
  | "magic_link"
  | "otp"
  | "passkey"
  | "recover"
  | "resend"
  | "signup"
  | "token"
  | "user"
  | "verify";

/** The limits of one project, counted in memory as supabase/auth does. */
export interface RateLimits {
  /** Counts a request of this address. Throws 429 `over_request_rate_limit` when there were too many. */
  request(kind: Limited, address: string): void;
  /** Counts a mail. Throws 429 `over_email_send_rate_limit` when there were too many in this hour. */
  email(): void;
}

interface Bucket {
  tokens: number;
  at: number;
}

const HOUR = 3_600_000;
const FIVE_MINUTES = 300_000;
const MINUTE = 60_000;
/** How many may come at once, whatever the rate. */
const BURST = 30;
/** This machine itself is not limited, as `supabase start` does not limit: test suites sign up hundreds of users a minute. */
const LOOPBACK = /^(?:::ffff:)?127\.|^::1$/;
/** Addresses that are remembered for each kind; the ones that asked longest ago are forgotten first. */
const MOST_ADDRESSES = 10_000;
/** Challenges and codes of second factors a minute; config.toml cannot set it. */
const FACTORS_A_MINUTE = 15;
const PASSKEYS_IN_FIVE_MINUTES = 30;
const GUESSES_IN_FIVE_MINUTES = 30;
const REGISTRATIONS_IN_FIVE_MINUTES = 10;

/**
 * Prepares the limits.
 * @param settings [auth.rate_limit]
 * @param mails counts mails as well: the CLI does so only with a mail server of one's own
 * @param now the clock, in milliseconds
 */
export function createRateLimits(
  settings: AuthSettings["rate_limit"],
  { mails, now = Date.now }: { mails: boolean; now?: () => number },
): RateLimits {
  const otp = { events: settings.sign_in_sign_ups, per: FIVE_MINUTES, burst: BURST };
  const factors = { events: FACTORS_A_MINUTE, per: MINUTE, burst: BURST };
  const rates: Record<Limited, { events: number; per: number; burst: number }> = {
    anonymous: { events: settings.anonymous_users, per: HOUR, burst: settings.anonymous_users },
    client_registration: { events: REGISTRATIONS_IN_FIVE_MINUTES, per: FIVE_MINUTES, burst: BURST },
    factor_challenge: factors,
    factor_verify: factors,
    guess: { events: GUESSES_IN_FIVE_MINUTES, per: FIVE_MINUTES, burst: BURST },
    magic_link: otp,
    otp,
    passkey: { events: PASSKEYS_IN_FIVE_MINUTES, per: FIVE_MINUTES, burst: BURST },
    recover: otp,
    resend: otp,
    signup: otp,
    token: { events: settings.token_refresh, per: FIVE_MINUTES, burst: BURST },
    user: otp,
    verify: { events: settings.token_verifications, per: FIVE_MINUTES, burst: BURST },
  };
  const buckets = new Map<Limited, Map<string, Bucket>>();
  let hour = { began: now(), sent: 0 };

  return {
    request(kind, address) {
      const { events, per, burst } = rates[kind];
      if (LOOPBACK.test(address)) return;
      const known = buckets.get(kind) ?? new Map<string, Bucket>();
      buckets.set(kind, known);
      const at = now();
      const bucket = known.get(address);
      const tokens = bucket ? Math.min(burst, bucket.tokens + ((at - bucket.at) * events) / per) : burst;
      if (tokens < 1) throw tooMany("over_request_rate_limit", "Request rate limit reached");
      known.delete(address); // and put it last
      known.set(address, { tokens: tokens - 1, at });
      if (known.size > MOST_ADDRESSES) known.delete(known.keys().next().value!);
    },
    email() {
      if (!mails) return;
      const hours = Math.floor((now() - hour.began) / HOUR);
      if (hours > 0) hour = { began: hour.began + hours * HOUR, sent: 0 };
      if (hour.sent >= settings.email_sent)
        throw tooMany("over_email_send_rate_limit", "email rate limit exceeded");
      hour.sent += 1;
    },
  };
}

/**
 * Refuses what was done for the same person a moment ago.
 * @param last when it was done, if ever
 * @param frequency how much later it may be done again, in milliseconds
 * Throws 429 with the seconds that are left.
 */
export function checkFrequency(
  last: Date | null | undefined,
  frequency: number,
  now = Date.now(),
  code: "over_email_send_rate_limit" | "over_sms_send_rate_limit" = "over_email_send_rate_limit",
): void {
  const left = last ? last.getTime() + frequency - now : 0;
  if (left <= 0) return;
  throw tooMany(
    code,
    `For security purposes, you can only request this after ${Math.floor(left / 1000)} seconds.`,
  );
}
