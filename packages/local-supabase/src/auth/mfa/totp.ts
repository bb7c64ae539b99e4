// Time-based one-time passwords, and the picture that an authenticator app scans.

import * as OTPAuth from "otpauth";
import encodeQR from "qr";

/** What a new factor's owner puts into an app. */
export interface TotpSecret {
  /** In base32, as apps show it. */
  secret: string;
  uri: string;
  /** An SVG document. */
  qr_code: string;
}

/** Makes a secret. Takes what the app shows: the site, and the account. */
export function createTotp(issuer: string, account: string): TotpSecret {
  // 20 bytes: the length of the hash, and what every app takes.
  const secret = new OTPAuth.Secret({ size: 20 });
  const uri = totpOf(secret, issuer, account).toString();
  return { secret: secret.base32, uri, qr_code: encodeQR(uri, "svg", { ecc: "high", border: 4 }) };
}

/**
 * Whether a code fits a secret now, or half a minute before or after.
 * @returns the step of time that it belongs to, so that it is not accepted twice; undefined when it does not fit
 */
export function verifyTotp(secret: string, code: string, now = Date.now()): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined;
  const delta = totpOf(OTPAuth.Secret.fromBase32(secret)).validate({
    token: code,
    timestamp: now,
    window: 1,
  });
  return delta === null ? undefined : Math.floor(now / 30_000) + delta;
}

function totpOf(secret: OTPAuth.Secret, issuer = "", label = "OTPAuth"): OTPAuth.TOTP {
  return new OTPAuth.TOTP({ issuer, label, secret, algorithm: "SHA1", digits: 6, period: 30 });
}
