/** Options of the client and of single calls. */
import type { AgentLaunchpadError } from "./errors.ts";
import type { SupabaseClientLike } from "./supabase.ts";

export interface ClientOptions {
  /** A supabase-js client. Its user is the caller; its key goes along; its Realtime carries subscriptions. */
  supabaseClient: SupabaseClientLike;
  /** Where `/api` is, such as `https://api.example.com`. Left out: the project's functions (`<project>/functions/v1`). */
  baseUrl?: string | undefined;
  /** The project's publishable key. Left out: the key of `supabaseClient`. */
  apiKey?: string | undefined;
  /** The project's address, for `/rest/v1`. Left out: that of `supabaseClient`. */
  supabaseUrl?: string | undefined;
  /**
   * Milliseconds that one attempt of a call may take: renewing the session, sending, and reading the whole answer. Default
   * 30000; 0: no limit.
   */
  timeout?: number | undefined;
  /** Milliseconds that a call may take with all its attempts and waits. Default 0: no limit. */
  totalTimeout?: number | undefined;
  /** How often a call that may be repeated is repeated. Default 3. */
  maxRetries?: number | undefined;
  /** The longest wait, in milliseconds, before a repeat; a server that asks for more is not waited for. Default 65000. */
  maxRetryWait?: number | undefined;
  /** Called before each wait for a repeat. */
  onRetry?: ((retry: Retry) => void) | undefined;
  /** Another `fetch`. */
  fetch?: typeof fetch | undefined;
}

/** A failed attempt that is about to be repeated. */
export interface Retry {
  method: string;
  /** Such as `/api/agents`. */
  path: string;
  /** How many attempts were made. */
  attempt: number;
  /** Milliseconds until the next one. */
  wait: number;
  error: AgentLaunchpadError;
}

/** Options of any call. */
export interface CallOptions {
  /** Ends the call, its waits included; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds that one attempt may take; 0: no limit. */
  timeout?: number | undefined;
  /** Milliseconds for the whole call, its attempts and waits included; 0: no limit. */
  totalTimeout?: number | undefined;
  maxRetries?: number | undefined;
}

/** Options of a call that changes something and may be repeated. */
export interface PostOptions extends CallOptions {
  /** 1 to 255 visible ASCII characters. Left out: one is made. The same key again answers what the first call answered. */
  idempotencyKey?: string | undefined;
}

/** What the API said about the caller's limit in its last answer. */
export interface RateLimit {
  limit: number;
  remaining: number;
  /** When the window ends. */
  reset: Date;
}
