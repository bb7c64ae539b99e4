// Tells an app by its address why a sign-in failed.

import { AuthError, OAuthError } from "../errors.ts";

const BY_STATUS: Readonly<Record<number, string>> = {
  400: "invalid_request",
  401: "unauthorized_client",
  403: "access_denied",
  500: "server_error",
  503: "temporarily_unavailable",
};
const DENIED = new Set(["signup_disabled", "user_banned", "provider_email_needs_verification"]);

/** An error as the parameters of an address. */
export function errorParameters(error: unknown): Record<string, string> {
  if (error instanceof AuthError)
    return {
      error: DENIED.has(error.code) ? "access_denied" : (BY_STATUS[error.status] ?? "server_error"),
      error_code: error.code,
      error_description: error.message,
    };
  if (error instanceof OAuthError) return { error: error.error, error_description: error.message };
  // What the database or the code says of itself is not for an address.
  return {
    error: "server_error",
    error_code: "unexpected_failure",
    error_description: "Internal Server Error",
  };
}

/**
 * The address of the app with the error, in its query and again in its fragment.
 * @param fragment leaves the fragment out: where it is not known which app asked
 */
export function withError(address: string, error: unknown, { fragment = true } = {}): string {
  const parameters = errorParameters(error);
  const url = new URL(address);
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  url.hash = fragment ? new URLSearchParams({ ...parameters, sb: "" }).toString() : "";
  return url.toString();
}

/** The address of the app with a code for it. */
export function withCode(address: string, code: string): string {
  const url = new URL(address);
  url.searchParams.set("code", code);
  return url.toString();
}

/** The address of the app with a session in its fragment. */
export function withSession(
  address: string,
  session: Readonly<Record<string, unknown>>,
  more: Readonly<Record<string, string>>,
): string {
  const fragment = new URLSearchParams(more);
  for (const name of ["access_token", "token_type", "expires_in", "expires_at", "refresh_token"])
    fragment.set(name, String(session[name] ?? ""));
  fragment.set("sb", "");
  fragment.sort();
  return `${address}#${fragment}`;
}
