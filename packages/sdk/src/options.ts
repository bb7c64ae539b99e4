/** Options of the client and of single calls. */
import type { SupabaseClientLike } from "./supabase.ts";

export interface ClientOptions {
  /** A supabase-js client. Its user is the caller; its key goes along; its Realtime carries subscriptions. */
  supabaseClient: SupabaseClientLike;
  /** Where `/api` is, such as `https://api.example.com`. Left out: the project's functions (`<project>/functions/v1`). */
  baseUrl?: string;
  /** The project's publishable key. Left out: the key of `supabaseClient`. */
  apiKey?: string;
  /** The project's address, for `/rest/v1`. Left out: that of `supabaseClient`. */
  supabaseUrl?: string;
  /** Milliseconds that one attempt of a call may take. Default 30000. */
  timeout?: number;
  /** How often a call that may be repeated is repeated. Default 3. */
  maxRetries?: number;
  /** The longest wait, in milliseconds, before a repeat; a server that asks for more is not waited for. Default 65000. */
  maxRetryWait?: number;
  /** Another `fetch`. */
  fetch?: typeof fetch;
}

/** Options of any call. */
export interface CallOptions {
  /** Ends the call, its waits included; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds that one attempt may take; 0: as long as it takes. */
  timeout?: number | undefined;
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
