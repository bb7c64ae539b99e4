/** One request, repeated where that is safe. Everything the SDK sends over HTTP goes through here. */

import { AgentLaunchpadError, invalid } from "./errors.ts";
import { failureOf } from "./failure.ts";
import { once } from "./once.ts";
import type { CallOptions, PostOptions, RateLimit } from "./options.ts";
import { type RetryLimits, retryDelay } from "./retry.ts";
import { notSignedIn } from "./session.ts";
import { VERSION } from "./version.ts";

export interface HttpSettings extends RetryLimits {
  /** Below which `/api` is. */
  apiUrl: string;
  /** Below which `/rest/v1` is; undefined where it is not known. */
  projectUrl: string | undefined;
  apiKey: string;
  token(): Promise<string | undefined>;
  fetch: typeof fetch;
  timeout: number;
}

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Request {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Begins with a slash: `/api/…` or `/rest/v1/…`. */
  path: string;
  query?: Query | undefined;
  body?: unknown;
  headers?: Record<string, string>;
  options?: PostOptions | undefined;
}

const REST = "/rest/v1/";
const KEY = /^[\x21-\x7e]{1,255}$/;

export class Http {
  readonly #settings: HttpSettings;
  /** From the last answer that told it. */
  rateLimit: RateLimit | undefined;

  constructor(settings: HttpSettings) {
    this.#settings = settings;
  }

  /**
   * Sends a request until it is answered for good.
   * @returns the answer's JSON, or undefined where it has no body
   * @throws AgentLaunchpadError; the signal's reason where it was aborted
   */
  async send<T>(request: Request): Promise<T> {
    const { options = {} } = request;
    options.signal?.throwIfAborted();
    const { maxRetries, maxRetryWait } = this.#settings;
    const limits: RetryLimits = { maxRetries: options.maxRetries ?? maxRetries, maxRetryWait };
    const repeatable = request.method === "GET" || isIdempotentPost(request);
    const key = isIdempotentPost(request) ? idempotencyKeyOf(options) : undefined;
    const url = this.#urlOf(request);
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    for (let count = 1; ; count += 1) {
      const token = await this.#settings.token();
      if (token === undefined) throw notSignedIn();
      const headers: Record<string, string> = {
        accept: "application/json",
        apikey: this.#settings.apiKey,
        authorization: `Bearer ${token}`,
        "x-client-info": `agent-launchpad-js/${VERSION}`,
        ...request.headers,
      };
      if (body !== undefined) headers["content-type"] = "application/json";
      if (key !== undefined) headers["idempotency-key"] = key;
      try {
        return (await this.#attempt(
          url,
          { method: request.method, headers, body: body ?? null },
          options,
          repeatable,
        )) as T;
      } catch (error) {
        if (!(error instanceof AgentLaunchpadError)) throw error;
        const wait = retryDelay({ count, repeatable, error }, limits, Math.random());
        if (wait === undefined) throw error;
        await sleep(wait, options.signal);
      }
    }
  }

  #urlOf({ path, query = {} }: Request): string {
    const { apiUrl, projectUrl } = this.#settings;
    const base = path.startsWith(REST) ? projectUrl : apiUrl;
    if (base === undefined) throw invalid("supabaseUrl", "Must be the project's URL");
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) parameters.set(name, String(value));
    }
    const text = parameters.toString();
    return text === "" ? base + path : `${base}${path}?${text}`;
  }

  async #attempt(
    url: string,
    init: RequestInit,
    options: CallOptions,
    repeatable: boolean,
  ): Promise<unknown> {
    const limit = options.timeout ?? this.#settings.timeout;
    const { signal } = options;
    const controller = new AbortController();
    const abort = () => controller.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    const own = repeatable ? undefined : once();
    let late = false;
    const timer =
      limit > 0
        ? setTimeout(() => {
            late = true;
            controller.abort();
          }, limit)
        : undefined;
    try {
      const response = await this.#settings.fetch(url, { ...init, ...own?.init, signal: controller.signal });
      const text = await response.text();
      this.#note(response.headers);
      if (response.ok) return text === "" ? undefined : parsed(text, url, response.status);
      throw failureOf(response.status, response.headers, text, Date.now());
    } catch (error) {
      if (error instanceof AgentLaunchpadError) throw error;
      signal?.throwIfAborted();
      throw late ? timedOut(url, limit, error) : unreachable(url, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      own?.done();
    }
  }

  #note(headers: Headers): void {
    const limit = Number(headers.get("x-ratelimit-limit") ?? 0);
    if (!(limit > 0)) return;
    const remaining = Number(headers.get("x-ratelimit-remaining") ?? 0);
    this.rateLimit = { limit, remaining, reset: new Date(Number(headers.get("x-ratelimit-reset")) * 1000) };
  }
}

/** Only `/api` keeps keys of requests; an INSERT into a table would be done twice. */
const isIdempotentPost = ({ method, path }: Request): boolean => method === "POST" && !path.startsWith(REST);

function idempotencyKeyOf({ idempotencyKey }: PostOptions): string {
  if (idempotencyKey === undefined) return randomId();
  if (!KEY.test(idempotencyKey)) throw invalid("idempotencyKey", "Must be 1 to 255 visible ASCII characters");
  return idempotencyKey;
}

function parsed(text: string, url: string, status: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AgentLaunchpadError({
      code: "INVALID_RESPONSE",
      message: `${new URL(url).origin} did not answer as the Agent Launchpad API does: check baseUrl`,
      status,
      cause,
    });
  }
}

const timedOut = (url: string, limit: number, cause: unknown) =>
  new AgentLaunchpadError({
    code: "TIMEOUT",
    message: `${new URL(url).origin} did not answer within ${limit / 1000} s`,
    cause,
  });

const unreachable = (url: string, cause: unknown) =>
  new AgentLaunchpadError({
    code: "SUPABASE_CONNECTION_ERROR",
    message: `Cannot reach ${new URL(url).origin}: check the address and the network`,
    cause,
  });

/** 128 random bits; browsers have randomUUID on secure pages alone. */
export function randomId(): string {
  let id = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(16))) id += byte.toString(16).padStart(2, "0");
  return id;
}

/**
 * Waits, unless the signal ends it.
 * @param milliseconds how long
 * @param signal ends the wait: the promise rejects with its reason
 */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
  });
}

/**
 * The properties that are not undefined.
 * @param object any object
 */
export function defined<T extends object>(object: T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<T>;
}
