/** Who calls, and with which key, read from a supabase-js client. */
import { AgentLaunchpadError, invalid } from "./errors.ts";
import type { SupabaseClientLike } from "./supabase.ts";

/** What supabase-js keeps to itself in its types, though not at run time. Every part may be missing. */
interface Inside {
  supabaseUrl?: unknown;
  supabaseKey?: unknown;
  headers?: unknown;
  accessToken?: unknown;
}

const inside = (client: SupabaseClientLike): Inside => client as unknown as Inside;
const filled = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/**
 * The address of the client's project, without a slash at the end.
 * @param client a supabase-js client
 */
export const projectUrlOf = (client: SupabaseClientLike): string | undefined =>
  filled(inside(client).supabaseUrl)?.replace(/\/+$/, "");

/**
 * The key that the client was made with.
 * @param client a supabase-js client
 */
export const apiKeyOf = (client: SupabaseClientLike): string | undefined =>
  filled(inside(client).supabaseKey);

/**
 * The token that the client was given beforehand: `global.headers.Authorization`, as server code does.
 * @param client a supabase-js client
 */
export function fixedTokenOf(client: SupabaseClientLike): string | undefined {
  const headers = inside(client).headers;
  if (typeof headers !== "object" || headers === null) return undefined;
  const given = Object.entries(headers).find(([name]) => name.toLowerCase() === "authorization")?.[1];
  const token = /^Bearer\s+(\S+)$/i.exec(String(given ?? ""))?.[1];
  return token === apiKeyOf(client) ? undefined : token;
}

/** Whether the client takes its tokens from a function (`accessToken`); its `auth` then cannot be used. */
export const hasTokenSource = (client: SupabaseClientLike): boolean =>
  typeof inside(client).accessToken === "function";

/**
 * The present user's token; supabase-js renews an expired one first.
 * @param client a supabase-js client
 * @returns undefined where nobody is signed in
 * @throws AgentLaunchpadError INVALID_JWT_TOKEN where the session cannot be renewed, SUPABASE_CONNECTION_ERROR where Auth is down
 */
export async function tokenOf(client: SupabaseClientLike): Promise<string | undefined> {
  const { accessToken } = inside(client);
  const fixed = fixedTokenOf(client);
  try {
    if (typeof accessToken === "function") return filled(await accessToken.call(client));
    if (fixed !== undefined) return fixed;
    const { data, error } = await client.auth.getSession();
    if (error !== null) throw error;
    return data.session?.access_token;
  } catch (error) {
    throw tokenFailure(error);
  }
}

/** A session that was not renewed: because Auth is down or busy, or because the session has ended. */
export function tokenFailure(cause: unknown): AgentLaunchpadError {
  const { name, message, status } = (cause instanceof Error ? cause : new Error(String(cause))) as Error & {
    status?: unknown;
  };
  if (status === 429) {
    return new AgentLaunchpadError({
      code: "RATE_LIMIT_EXCEEDED",
      message: "Supabase Auth limits its requests: try again later",
      status: 429,
      cause,
    });
  }
  // AuthUnknownError: what answered was not Auth, such as a proxy's page.
  const down = name === "AuthRetryableFetchError" || name === "AuthUnknownError";
  if (down || (typeof status === "number" && status >= 500)) {
    return new AgentLaunchpadError({
      code: "SUPABASE_CONNECTION_ERROR",
      message: "Cannot reach Supabase Auth to renew the session: check the network",
      cause,
    });
  }
  return new AgentLaunchpadError({
    code: "INVALID_JWT_TOKEN",
    message: `There is no valid token (${message}): sign in again`,
    cause,
  });
}

/** The failure of a call that nobody signed in for. */
export const notSignedIn = (): AgentLaunchpadError =>
  new AgentLaunchpadError({
    code: "INVALID_JWT_TOKEN",
    message: "No user is signed in: sign in first, such as with supabase.auth.signInWithPassword()",
  });

/**
 * Judges an address, and takes off what does not belong to it.
 * @param field the option it was given as
 * @param value the address
 * @throws AgentLaunchpadError VALIDATION_ERROR
 */
export function addressOf(field: string, value: string): string {
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw invalid(field, "Must be a URL such as https://api.example.com");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw invalid(field, "Must begin with https:// or http://");
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}
