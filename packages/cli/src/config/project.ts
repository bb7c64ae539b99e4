// Decides which project a command talks to.

import { CliError } from "../errors.ts";
import { isLoopback, type LocalStack } from "./local-stack.ts";
import type { Profile } from "./store.ts";

/** The project that a command speaks to. */
export interface Project {
  url: string;
  key: string;
  /** Where `/api` is. */
  apiUrl: string;
  /** Where the address comes from. */
  source: "flag" | "environment" | "profile" | "local stack";
  local: boolean;
}

export interface ProjectSources {
  flags: { url?: string | undefined; key?: string | undefined; apiUrl?: string | undefined };
  env: Readonly<Record<string, string | undefined>>;
  profile: Profile | undefined;
  /** Whether the profile was named, by --profile or LAUNCHPAD_PROFILE. */
  named?: boolean;
  localStack: LocalStack | undefined;
}

/**
 * Decides which project is meant: flags, then LAUNCHPAD_URL and LAUNCHPAD_KEY, then a named profile, then the stack that runs
 * from this folder, then the default profile, then SUPABASE_URL and SUPABASE_ANON_KEY or SUPABASE_PUBLISHABLE_KEY, then the
 * folder's stack though it does not run. A key goes only to the address that it came with, or that was given together with it.
 * A token of the environment (LAUNCHPAD_TOKEN) does not say whose it is: with one, no folder comes before the default profile.
 * Pure.
 * @throws CliError when no project is named, an address is none, or the key is missing or secret
 */
export function resolveProject({ flags, env, profile, named: byName, localStack }: ProjectSources): Project {
  const supabaseKey = env.SUPABASE_PUBLISHABLE_KEY || env.SUPABASE_ANON_KEY;
  const runs = localStack?.dbUrl !== undefined && !env.LAUNCHPAD_TOKEN;
  const named =
    pick("flag", flags.url) ??
    pick("environment", env.LAUNCHPAD_URL) ??
    pick("profile", byName ? profile?.url : undefined) ??
    pick("local stack", runs ? localStack.url : undefined) ??
    pick("profile", profile?.url) ??
    pick("environment", supabaseKey === undefined ? undefined : env.SUPABASE_URL) ??
    pick("local stack", localStack?.url);
  if (named === undefined) {
    throw new CliError(
      "usage",
      "No project is known here: run `launchpad login --url <project> --key <publishable key>`, or `npm start` for a local stack.",
      { code: "NO_PROJECT" },
    );
  }
  const url = normalUrl(named.url, named.source === "flag" ? "--url" : "The project's address");
  const folderKey = sameUrl(localStack?.url, url) ? localStack?.key : undefined;
  const key =
    flags.key ||
    env.LAUNCHPAD_KEY ||
    // The key of a local stack is new in each data folder, so a stack that runs here knows better than an older login.
    // One that does not run knows less: another folder's stack may have the address.
    (localStack?.dbUrl === undefined ? undefined : folderKey) ||
    (sameUrl(profile?.url, url) ? profile?.key : undefined) ||
    folderKey ||
    (sameUrl(env.SUPABASE_URL, url) ? supabaseKey : undefined);
  if (!key) {
    throw new CliError(
      "usage",
      `The publishable key of ${url} is missing; give it with --key or LAUNCHPAD_KEY.`,
      {
        code: "NO_KEY",
      },
    );
  }
  refuseSecretKey(key);
  const given =
    flags.apiUrl || env.LAUNCHPAD_API_URL || (sameUrl(profile?.url, url) ? profile?.apiUrl : undefined);
  const apiUrl = given ? normalUrl(given, "--api-url") : `${url}/functions/v1`;
  return { url, key, apiUrl, source: named.source, local: isLoopback(url) };
}

/**
 * Finds where the local stack runs when a login still names the address of an earlier start. Pure.
 * @returns undefined where no stack runs here, or the project is this one, or one that is not on this machine
 */
export function movedTo(project: Project, localStack: LocalStack | undefined): string | undefined {
  if (!project.local || localStack?.dbUrl === undefined || sameUrl(localStack.url, project.url))
    return undefined;
  return localStack.url;
}

const pick = (source: Project["source"], url: string | undefined) => (url ? { source, url } : undefined);

/** An address without a slash at its end; a project's reference stands for its hosted address. */
function normalUrl(text: string, what: string): string {
  const address = /^[a-z]{20}$/.test(text) ? `https://${text}.supabase.co` : text;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash) {
    throw new CliError(
      "usage",
      `${what} must be an address such as https://abc.supabase.co, not ${JSON.stringify(text)}.`,
      {
        code: "BAD_URL",
      },
    );
  }
  return url.href.replace(/\/+$/, "");
}

/** Whether two texts name the same project. */
export function sameUrl(a: string | undefined, b: string): boolean {
  return a !== undefined && URL.canParse(a) && new URL(a).href.replace(/\/+$/, "") === b;
}

/** The secret key passes every policy: no person's login should carry it. */
function refuseSecretKey(key: string): void {
  if (key.startsWith("sb_secret_") || claimsOf(key)?.role === "service_role") {
    throw new CliError(
      "usage",
      "This is the project's secret key; use the publishable one, and keep the secret off command lines.",
      {
        code: "SECRET_KEY",
      },
    );
  }
}

/** The claims of a JWT, unverified; undefined for a text that is none. */
export function claimsOf(token: string): Record<string, unknown> | undefined {
  const payload = token.split(".")[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    return typeof claims === "object" && claims !== null ? (claims as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
