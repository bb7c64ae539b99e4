/** What the function reads from its environment; nothing else reads it. */
import { z } from "zod";
import { ECHO_KEY } from "../../../packages/agent-runtime/src/engines/model/echo.ts";
import { parseHosts } from "../_shared/addresses.ts";
import type { EmbeddingProviders } from "../_shared/embeddings.ts";

const blankIsAbsent = (value: unknown) => (value === "" ? undefined : value);
const optional = <T extends z.ZodType>(type: T) => z.preprocess(blankIsAbsent, type.optional());
const address = z.url({ protocol: /^https?$/ });
const number = (low: number, high: number, fallback: number) =>
  z.preprocess(blankIsAbsent, z.coerce.number().min(low).max(high).default(fallback));

const environment = z.object({
  SUPABASE_URL: address,
  SUPABASE_SECRET_KEYS: optional(z.string()),
  SUPABASE_SERVICE_ROLE_KEY: optional(z.string()),
  LAUNCHPAD_RESPOND_SECRET: optional(z.string()),
  LAUNCHPAD_RESPOND_CONCURRENCY: number(1, 100, 32),
  LAUNCHPAD_ANSWER_SECONDS: number(1, 3600, 140),
  LAUNCHPAD_ANSWER_SILENCE_SECONDS: number(0.1, 600, 45),
  LAUNCHPAD_TOOL_SECONDS: number(0.1, 120, 10),
  LAUNCHPAD_TOOL_PRIVATE_HOSTS: optional(z.string()),
  OPENAI_API: z.preprocess(blankIsAbsent, z.enum(["auto", "catalogue", "chat", "responses"]).default("auto")),
  OPENAI_API_KEY: optional(z.string()),
  OPENAI_BASE_URL: optional(address),
  ANTHROPIC_API_KEY: optional(z.string()),
  ANTHROPIC_BASE_URL: optional(address),
  GOOGLE_GENERATIVE_AI_API_KEY: optional(z.string()),
  GOOGLE_GENERATIVE_AI_BASE_URL: optional(address),
  LAUNCHPAD_EMBEDDING_API_KEY: optional(z.string()),
  LAUNCHPAD_EMBEDDING_BASE_URL: optional(address),
});

export type Framework = "openai" | "anthropic" | "google" | "echo";

export interface ProviderAccess {
  readonly apiKey: string | undefined;
  readonly baseUrl: string | undefined;
  /** The name under which a person sets the key. */
  readonly keyVariable: string;
}

export interface Settings {
  /** Where PostgREST answers, without a slash at the end. */
  readonly restUrl: string;
  /** The project's secret key: the function acts as service_role. */
  readonly secretKey: string;
  /** Signs the calls of the database; without one every call is refused. */
  readonly respondSecret: string | undefined;
  readonly concurrency: number;
  /** The longest that one attempt at an answer takes. */
  readonly answerMs: number;
  /** The longest that a provider may say nothing. */
  readonly silenceMs: number;
  readonly toolMs: number;
  /** Hosts (or host:port) that tools may reach though their addresses are not public. */
  readonly privateHosts: readonly string[];
  readonly openaiApi: "auto" | "catalogue" | "chat" | "responses";
  readonly providers: Readonly<Record<Framework, ProviderAccess>>;
  /** How the embedding model is reached: as its provider's models, unless it has an address or a key for itself. */
  readonly embedding: EmbeddingProviders;
}

/**
 * Reads the configuration.
 * @param variables the environment: what hosted Supabase injects, and the project's own secrets
 * @throws Error naming each variable that is missing or wrong
 */
export function readSettings(variables: Readonly<Record<string, string | undefined>>): Settings {
  const parsed = environment.safeParse(variables);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  const secretKey = parsed.success ? readSecretKey(parsed.data) : undefined;
  if (parsed.success && secretKey === undefined) problems.push("SUPABASE_SECRET_KEYS: is missing or no JSON");
  if (!parsed.success || secretKey === undefined) {
    throw new Error(`The function cannot start: ${problems.join("; ")}`);
  }
  const env = parsed.data;
  const provider = (
    apiKey: string | undefined,
    baseUrl: string | undefined,
    keyVariable: string,
  ): ProviderAccess => ({ apiKey, baseUrl: baseUrl?.replace(/\/+$/, ""), keyVariable });
  const google = provider(
    env.GOOGLE_GENERATIVE_AI_API_KEY,
    env.GOOGLE_GENERATIVE_AI_BASE_URL,
    "GOOGLE_GENERATIVE_AI_API_KEY",
  );
  const ownAddress = env.LAUNCHPAD_EMBEDDING_BASE_URL;
  return {
    // By the gateway: PostgREST itself does not know the project's keys.
    restUrl: `${env.SUPABASE_URL.replace(/\/+$/, "")}/rest/v1`,
    secretKey,
    respondSecret: env.LAUNCHPAD_RESPOND_SECRET,
    concurrency: env.LAUNCHPAD_RESPOND_CONCURRENCY,
    answerMs: env.LAUNCHPAD_ANSWER_SECONDS * 1000,
    silenceMs: env.LAUNCHPAD_ANSWER_SILENCE_SECONDS * 1000,
    toolMs: env.LAUNCHPAD_TOOL_SECONDS * 1000,
    privateHosts: parseHosts(env.LAUNCHPAD_TOOL_PRIVATE_HOSTS),
    openaiApi: env.OPENAI_API,
    providers: {
      openai: provider(env.OPENAI_API_KEY, env.OPENAI_BASE_URL, "OPENAI_API_KEY"),
      anthropic: provider(env.ANTHROPIC_API_KEY, env.ANTHROPIC_BASE_URL, "ANTHROPIC_API_KEY"),
      google,
      echo: provider(ECHO_KEY, undefined, ""),
    },
    embedding: {
      openai: provider(
        // A server at an address for itself never gets the key of another.
        env.LAUNCHPAD_EMBEDDING_API_KEY ?? (ownAddress === undefined ? env.OPENAI_API_KEY : "none"),
        ownAddress ?? env.OPENAI_BASE_URL,
        "OPENAI_API_KEY",
      ),
      google,
    },
  };
}

/** The new keys come as JSON by name; the old one is a JWT. */
function readSecretKey(env: z.infer<typeof environment>): string | undefined {
  try {
    const keys = z.record(z.string(), z.string()).parse(JSON.parse(env.SUPABASE_SECRET_KEYS ?? "{}"));
    return keys.default ?? Object.values(keys)[0] ?? env.SUPABASE_SERVICE_ROLE_KEY;
  } catch {
    return undefined;
  }
}
