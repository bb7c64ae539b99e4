// Decides where Auth may send a browser: the site, and what config.toml allows.

import { isIP } from "node:net";
import type { AuthError } from "./errors.ts";
import type { SessionJson } from "./sessions.ts";

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1)$/;

/**
 * Whether an address may be redirected to. Pure.
 * @param to the address, as a client sent it
 * @param siteUrl [auth] site_url
 * @param allowed [auth] additional_redirect_urls: `*` stands for characters other than . and /, `**` for any, `?` for one of the former
 */
export function mayRedirect(to: string, siteUrl: string, allowed: readonly string[]): boolean {
  if (to === "" || !URL.canParse(to) || !URL.canParse(siteUrl)) return false;
  const [base, target] = [new URL(siteUrl), new URL(to)];
  const host = target.hostname.replace(/^\[(.*)\]$/, "$1");
  const local = host === "localhost" || LOOPBACK.test(host);
  if (
    base.hostname === target.hostname &&
    base.protocol === target.protocol &&
    (base.port === target.port || local)
  )
    return true;
  // The address as written: URL rewrites a decimal number to an IP address.
  if (/^[a-z][a-z\d+.-]*:\/\/(?:[^/@]*@)?\d+(?=[:/?#]|$)/i.test(to)) return false;
  if (isIP(host) !== 0) return LOOPBACK.test(host);
  const isWeb = target.protocol === "http:" || target.protocol === "https:";
  if (isWeb && !/^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(host)) return false;
  const [bare = ""] = to.split("#");
  return allowed.some((pattern) => globOf(pattern).test(bare));
}

const globs = new Map<string, RegExp>();

/** The pattern of an allowed address. Patterns are the operator's own. */
function globOf(pattern: string): RegExp {
  let glob = globs.get(pattern);
  if (glob === undefined) {
    const source = pattern.replace(
      /\*\*|\*|\?|\{([^{}]*)\}|[^*?{]+|\{/g,
      (part, choices: string | undefined) => {
        if (part === "**") return ".*";
        if (part === "*") return "[^./]*";
        if (part === "?") return "[^./]";
        if (choices !== undefined) return `(?:${choices.split(",").map(RegExp.escape).join("|")})`;
        return RegExp.escape(part);
      },
    );
    glob = new RegExp(`^${source}$`, "s");
    globs.set(pattern, glob);
  }
  return glob;
}

/** An address that gives an app its session, in the part that no server sees. Pure. */
export function withSession(to: string, session: SessionJson, type: string): string {
  const values = new URLSearchParams({
    access_token: session.access_token,
    expires_at: String(session.expires_at),
    expires_in: String(session.expires_in),
    refresh_token: session.refresh_token,
    sb: "",
    token_type: "bearer",
    type,
  });
  return `${to}#${values}`;
}

/** An address that gives an app a code to exchange. Pure. */
export function withCode(to: string, code: string): string {
  const url = new URL(to);
  url.searchParams.set("code", code);
  return url.href;
}

/** An address that says something to an app. Pure. */
export function withMessage(to: string, message: string, pkce: boolean): string {
  const url = new URL(to);
  if (pkce) url.searchParams.set("message", message);
  url.hash = new URLSearchParams({ message, sb: "" }).toString();
  return url.href;
}

/** OAuth's word for a status. */
const ERRORS: Readonly<Record<number, string>> = {
  400: "invalid_request",
  401: "unauthorized_client",
  403: "access_denied",
  500: "server_error",
  503: "temporarily_unavailable",
};

/** An address that says to an app why it gets no session. Pure. */
export function withError(to: string, { status, code, message }: AuthError, pkce: boolean): string {
  const url = new URL(to);
  const word = ERRORS[status];
  const values = { ...(word ? { error: word } : {}), error_code: code, error_description: message };
  if (pkce) for (const [name, value] of Object.entries(values)) url.searchParams.set(name, value);
  url.hash = new URLSearchParams({ ...values, sb: "" }).toString();
  return url.href;
}
