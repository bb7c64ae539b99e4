// Keeps a user signed in: reads, refreshes and stores the session.

import type { AgentLaunchpadClient } from "@agent-launchpad/sdk";
import type { Session as AuthSession, SupabaseClient } from "@supabase/supabase-js";
import { claimsOf, type Project, sameUrl } from "./config/project.ts";
import type { Session, Store } from "./config/store.ts";
import { CliError } from "./errors.ts";

/** A signed-in user at a project. */
export interface OpenSession {
  client: AgentLaunchpadClient;
  supabase: SupabaseClient;
  user: Session["user"];
  /** Milliseconds since 1970. */
  expiresAt: number;
}

/** Where a login is kept, or the token that stands for one. */
export interface SessionSources {
  project: Project;
  store: Store;
  profile: string;
  /** LAUNCHPAD_TOKEN */
  token: string | undefined;
}

const STORAGE_KEY = "launchpad";
/** A token that lives no longer than this is renewed before it is used. */
const MARGIN_MS = 60_000;
/** A person waits: what fails is tried once more, and told. */
const PATIENCE = { maxRetries: 1, maxRetryWait: 3000 } as const;

const expired = () =>
  new CliError("unauthenticated", "The login has expired; sign in with `launchpad login`.", {
    code: "LOGIN_EXPIRED",
  });

/**
 * Reads the login, renews it where it has little time left, and makes the clients.
 * @throws CliError when nobody is signed in there, or the login has expired
 */
export async function openSession(sources: SessionSources): Promise<OpenSession> {
  const { project, token } = sources;
  const { createClient } = await import("@supabase/supabase-js");
  const session = token === undefined ? await storedSession(sources) : sessionOfToken(token);
  const { AgentLaunchpadClient } = await import("@agent-launchpad/sdk");
  const supabase = createClient(project.url, project.key, {
    auth: {
      storageKey: STORAGE_KEY,
      storage: token === undefined ? fileStorage(sources) : memoryStorage(session),
      persistSession: true,
      autoRefreshToken: session.refresh_token !== "",
      detectSessionInUrl: false,
    },
  });
  const client = new AgentLaunchpadClient({ supabaseClient: supabase, baseUrl: project.apiUrl, ...PATIENCE });
  return { client, supabase, user: session.user, expiresAt: session.expires_at * 1000 };
}

async function storedSession(sources: SessionSources): Promise<Session> {
  const { store, profile, project } = sources;
  const stored = await read(sources);
  if (stored === undefined) {
    const other = await store.profile(profile);
    const elsewhere =
      other?.session && !sameUrl(other.url, project.url) ? ` (the login is for ${other.url})` : "";
    throw new CliError(
      "unauthenticated",
      `Not signed in at ${project.url}${elsewhere}; sign in with \`launchpad login\`.`,
      {
        code: "NOT_SIGNED_IN",
      },
    );
  }
  if (!runsOut(stored)) return stored;
  if (stored.refresh_token === "") {
    if (stored.expires_at * 1000 > Date.now()) return stored;
    throw expired();
  }
  return await store.exclusively(async () => {
    const current = (await read(sources)) ?? stored; // another process may have renewed it meanwhile
    if (!runsOut(current)) return current;
    const renewed = await renew(project, current.refresh_token);
    await write(sources, renewed);
    return renewed;
  });
}

/**
 * The login as it is, without renewing it.
 * @returns undefined where nobody is signed in there, or the login has run out
 * @throws CliError for a token that is none, or a file of logins that cannot be used
 */
export async function presentSession(sources: SessionSources): Promise<Session | undefined> {
  const session = sources.token === undefined ? await read(sources) : sessionOfToken(sources.token);
  return session !== undefined && session.expires_at * 1000 > Date.now() ? session : undefined;
}

const runsOut = (session: Session): boolean => session.expires_at * 1000 - Date.now() < MARGIN_MS;

async function renew(project: Project, refreshToken: string): Promise<Session> {
  const auth = await authOf(project);
  const { data, error } = await auth.refreshSession({ refresh_token: refreshToken });
  if (error?.status === 400 || error?.status === 401 || error?.status === 403) throw expired();
  if (error) throw error;
  if (!data.session) throw expired();
  return kept(data.session);
}

/** A client of Auth that keeps nothing. */
export async function authOf(project: Pick<Project, "url" | "key">): Promise<SupabaseClient["auth"]> {
  const { createClient } = await import("@supabase/supabase-js");
  return createClient(project.url, project.key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  }).auth;
}

/** What is kept of a session: tokens, and who it is. */
export function kept(session: AuthSession): Session {
  return {
    access_token: session.access_token,
    refresh_token: session.refresh_token,
    expires_at: session.expires_at ?? Math.floor(Date.now() / 1000) + session.expires_in,
    token_type: "bearer",
    user: { id: session.user.id, ...(session.user.email ? { email: session.user.email } : {}) },
  };
}

/**
 * A session of an access token alone; nothing about it is verified here.
 * @throws CliError for a text that is no user's JWT, or has expired
 */
export function sessionOfToken(token: string): Session {
  const claims = claimsOf(token.trim());
  const { sub, exp, email } = claims ?? {};
  if (typeof sub !== "string" || typeof exp !== "number") {
    throw new CliError(
      "unauthenticated",
      "This is not a user's access token; use `access_token` of a sign-in.",
      {
        code: "BAD_TOKEN",
      },
    );
  }
  if (exp * 1000 <= Date.now()) throw expired();
  return {
    access_token: token.trim(),
    refresh_token: "",
    expires_at: exp,
    token_type: "bearer",
    user: { id: sub, ...(typeof email === "string" && email ? { email } : {}) },
  };
}

async function read({ store, profile, project }: SessionSources): Promise<Session | undefined> {
  const stored = await store.profile(profile);
  return stored?.session && sameUrl(stored.url, project.url) ? stored.session : undefined;
}

async function write({ store, profile }: SessionSources, session: Session): Promise<void> {
  await store.update(profile, (before) => (before ? { ...before, session } : before));
}

interface AuthStorage {
  getItem(key: string): Promise<string | null>;
  setItem(key: string, value: string): Promise<void>;
  removeItem(key: string): Promise<void>;
}

/**
 * supabase-js's storage over the credentials file. It reads the file each time, so that two processes that run for hours
 * see each other's renewals; it never removes a login, which `launchpad logout` alone does.
 */
function fileStorage(sources: SessionSources): AuthStorage {
  return {
    async getItem(key) {
      const session = key === STORAGE_KEY ? await read(sources) : undefined;
      return session ? JSON.stringify(session) : null;
    },
    async setItem(key, value) {
      if (key === STORAGE_KEY) await write(sources, kept(JSON.parse(value) as AuthSession));
    },
    async removeItem() {},
  };
}

function memoryStorage(session: Session): AuthStorage {
  return {
    async getItem(key) {
      return key === STORAGE_KEY ? JSON.stringify(session) : null;
    },
    async setItem() {},
    async removeItem() {},
  };
}
