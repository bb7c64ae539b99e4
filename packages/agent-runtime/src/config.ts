// The one description of what the program is told, and the only file that reads the environment.
import { readFileSync } from "node:fs";
import * as z from "zod/mini";
import { parseHosts } from "../../../supabase/functions/_shared/addresses.ts";
import { ECHO_KEY } from "./engines/model/echo.ts";
import { ConfigurationError, describe } from "./errors.ts";
import { LEVELS } from "./log.ts";
import { defaultElizaDir } from "./paths.ts";
import type { ProjectAccess } from "./project.ts";

export const FRAMEWORKS = ["openai", "anthropic", "google", "echo"] as const;
export type Framework = (typeof FRAMEWORKS)[number];

z.config(z.locales.en());

const optional = <T extends z.core.$ZodType>(type: T) =>
  z.optional(
    z.pipe(
      z.nullish(type),
      z.transform((value) => value ?? undefined),
    ),
  );

const between = (least: number, most: number) => z.number().check(z.minimum(least), z.maximum(most));

const text = () => z.string().check(z.minLength(1));

const list = () =>
  z.pipe(
    z.nullish(z.array(z.string())),
    z.transform((values) => values ?? []),
  );

const settingsSchema = z.looseObject({
  temperature: optional(between(0, 2)),
  max_tokens: optional(z.int().check(z.minimum(1), z.maximum(1_000_000))),
  top_p: optional(between(0, 1)),
  presence_penalty: optional(between(-2, 2)),
  /** Of elizaOS: whether it looks back on conversations with a second call of the model. */
  reflection: optional(z.enum(["on", "off"])),
  frequency_penalty: optional(between(-2, 2)),
  stop: optional(z.union([z.string(), z.array(z.string())])),
});

const agentSchema = z.looseObject({
  agentId: text(),
  name: text(),
  character: z.optional(z.unknown()),
  plugins: z.pipe(
    list(),
    z.transform((names) => [...new Set(names)]),
  ),
  platforms: list(),
  framework: optional(z.string()),
  model: optional(z.string()),
  systemPrompt: optional(z.string()),
  supabaseProject: optional(z.string()),
  settings: optional(settingsSchema),
  revision: optional(z.union([z.int(), z.string()])),
});

export type ModelSettings = Partial<z.infer<typeof settingsSchema>>;

const whole = (least: number, most: number, fallback: number) =>
  z._default(z.coerce.number().check(z.int(), z.minimum(least), z.maximum(most)), fallback);

const milliseconds = (fallback: number) => whole(1, 3_600_000, fallback);

const environmentSchema = z.object({
  AGENT_ID: optional(text()),
  AGENT_REPLICA: optional(text()),
  AGENT_GENERATION: optional(z.string()),
  AGENT_CONFIG_FILE: text(),
  AGENT_STATE_DIR: optional(text()),
  AGENT_ELIZA_DIR: optional(text()),
  AGENT_PRIVATE_HOSTS: z.optional(z.string()),
  AGENT_TOOL_PRIVATE_HOSTS: z.optional(z.string()),
  AGENT_TOOL_TIMEOUT_MS: milliseconds(10_000),
  AGENT_MESSAGE_KEY: optional(z.string().check(z.minLength(32))),
  AGENT_PROJECT_URL: optional(z.url({ protocol: /^https?$/ })),
  AGENT_PROJECT_KEY: optional(text()),
  AGENT_PROBE_KEY: optional(z.string().check(z.minLength(32))),
  AGENT_PROXY_HOPS: whole(0, 10, 1),
  AGENT_LOG_LEVEL: z._default(z.enum(LEVELS), "INFO"),
  AGENT_MESSAGE_TIMEOUT_MS: milliseconds(60_000),
  AGENT_STOP_TIMEOUT_MS: milliseconds(25_000),
  AGENT_PLUGIN_START_MS: milliseconds(20_000),
  AGENT_PLUGIN_RETRY_MS: milliseconds(5_000),
  AGENT_MAX_CONCURRENT_MESSAGES: whole(1, 1_000, 16),
  AGENT_MODEL_RETRIES: whole(0, 5, 1),
  OPENAI_API: z._default(z.enum(["auto", "catalogue", "chat", "responses"]), "auto"),
  HOST: z._default(text(), "127.0.0.1"),
  PORT: whole(0, 65_535, 0),
});

/** The key and the address of each provider, by the names their own SDKs use. */
const PROVIDER_VARIABLES: Record<Exclude<Framework, "echo">, { key: string; baseUrl: string }> = {
  openai: { key: "OPENAI_API_KEY", baseUrl: "OPENAI_BASE_URL" },
  anthropic: { key: "ANTHROPIC_API_KEY", baseUrl: "ANTHROPIC_BASE_URL" },
  google: { key: "GOOGLE_GENERATIVE_AI_API_KEY", baseUrl: "GOOGLE_GENERATIVE_AI_BASE_URL" },
};

/** Variables of the process itself: neither the agent's settings nor worth hiding in a log. */
const OWN_VARIABLE =
  /^(AGENT_.*|HOST|PORT|PATH|HOME|USER|SHELL|PWD|OLDPWD|SHLVL|LANG|LC_.*|TZ|TERM|TMPDIR|_|NODE_.*|npm_.*|LOGNAME|HOSTNAME)$/;

export interface ProviderAccess {
  readonly apiKey: string | undefined;
  readonly baseUrl: string | undefined;
  /** The variable a person sets to give the key. */
  readonly keyVariable: string;
}

export interface Config {
  readonly agentId: string;
  readonly replica: string;
  readonly generation: string | undefined;
  readonly revision: string | number | undefined;
  readonly name: string;
  /** As it is stored, in any form; character.ts reads it. */
  readonly character: unknown;
  readonly plugins: readonly string[];
  /** Those of them that are no packages, plugins of the runtime and MCP servers; run.ts takes them out of `plugins`. */
  readonly builtInPlugins: readonly string[];
  readonly platforms: readonly string[];
  readonly framework: Framework;
  readonly model: string | undefined;
  readonly systemPrompt: string | undefined;
  /** The project that supabase_config names, for the plugin that works with its tables. */
  readonly supabaseProject: string | undefined;
  readonly settings: ModelSettings;
  readonly provider: ProviderAccess;
  readonly openaiApi: "auto" | "catalogue" | "chat" | "responses";
  readonly modelRetries: number;
  /** The agent's own variables (secrets and provider settings), for engines and plugins. */
  readonly environment: Readonly<Record<string, string>>;
  /** Values that no log line may show. */
  readonly secrets: readonly string[];
  readonly stateDir: string | undefined;
  readonly elizaDir: string;
  /** Hosts that may be reached though their addresses are not public; undefined: every host may (the cluster decides). */
  readonly privateHosts: readonly string[] | undefined;
  /** The same for the agent's tools, which may reach public addresses alone otherwise. */
  readonly toolPrivateHosts: readonly string[];
  /** How long one call of a tool may take. */
  readonly toolTimeoutMs: number;
  /** What the platform signs its messages with; without one no history is taken. */
  readonly messageKey: string | undefined;
  /** Whom to ask who calls; without it no caller is known. */
  readonly project: ProjectAccess | undefined;
  /** What the controller reads /metrics with. */
  readonly probeKey: string | undefined;
  /** Proxies of the operator's between callers and this process. */
  readonly proxyHops: number;
  readonly logLevel: (typeof LEVELS)[number];
  readonly messageTimeoutMs: number;
  readonly stopTimeoutMs: number;
  /** How long one plugin may take to load or to start; the services of all plugins are awaited as long. */
  readonly pluginStartMs: number;
  /** The wait before a plugin's service that failed is started again; it doubles each time. */
  readonly pluginRetryMs: number;
  readonly maxConcurrentMessages: number;
  readonly host: string;
  readonly port: number;
}

/**
 * Reads the whole configuration: the environment and the file it names.
 * @param env the process environment
 * @param handed what the file would hold, where it was handed over instead
 * @throws ConfigurationError (INVALID_CONFIG, INVALID_FRAMEWORK, INVALID_MODEL) naming every wrong field
 */
export function readConfig(env: NodeJS.ProcessEnv, handed?: unknown): Config {
  const set = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ""),
  );
  const own = parse(environmentSchema, set, "environment");
  const agent = parse(agentSchema, handed ?? readJson(own.AGENT_CONFIG_FILE), own.AGENT_CONFIG_FILE);
  const framework = readFramework(agent.framework);
  const environment = Object.fromEntries(
    Object.entries(set).filter((entry): entry is [string, string] => !OWN_VARIABLE.test(entry[0])),
  );
  return {
    agentId: own.AGENT_ID ?? agent.agentId,
    replica: own.AGENT_REPLICA ?? agent.agentId,
    generation: own.AGENT_GENERATION,
    revision: agent.revision,
    name: agent.name,
    character: agent.character,
    plugins: agent.plugins,
    builtInPlugins: [],
    platforms: agent.platforms,
    framework,
    model: readModel(agent.model),
    systemPrompt: agent.systemPrompt,
    supabaseProject: agent.supabaseProject,
    settings: agent.settings ?? {},
    provider: readProvider(framework, environment),
    openaiApi: own.OPENAI_API,
    modelRetries: own.AGENT_MODEL_RETRIES,
    environment,
    secrets: secretValues({
      ...environment,
      ...(own.AGENT_MESSAGE_KEY !== undefined && { AGENT_MESSAGE_KEY: own.AGENT_MESSAGE_KEY }),
      ...(own.AGENT_PROBE_KEY !== undefined && { AGENT_PROBE_KEY: own.AGENT_PROBE_KEY }),
    }),
    messageKey: own.AGENT_MESSAGE_KEY,
    probeKey: own.AGENT_PROBE_KEY,
    proxyHops: own.AGENT_PROXY_HOPS,
    project: readProject(own.AGENT_PROJECT_URL, own.AGENT_PROJECT_KEY),
    stateDir: own.AGENT_STATE_DIR,
    elizaDir: own.AGENT_ELIZA_DIR ?? defaultElizaDir,
    privateHosts: readHosts(own.AGENT_PRIVATE_HOSTS),
    toolPrivateHosts: readHosts(own.AGENT_TOOL_PRIVATE_HOSTS) ?? [],
    toolTimeoutMs: own.AGENT_TOOL_TIMEOUT_MS,
    logLevel: own.AGENT_LOG_LEVEL,
    messageTimeoutMs: own.AGENT_MESSAGE_TIMEOUT_MS,
    stopTimeoutMs: own.AGENT_STOP_TIMEOUT_MS,
    pluginStartMs: own.AGENT_PLUGIN_START_MS,
    pluginRetryMs: own.AGENT_PLUGIN_RETRY_MS,
    maxConcurrentMessages: own.AGENT_MAX_CONCURRENT_MESSAGES,
    host: own.HOST,
    port: own.PORT,
  };
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ConfigurationError(
      "INVALID_CONFIG",
      `The configuration ${file} cannot be read: ${describe(error)}`,
    );
  }
}

function parse<T extends z.core.$ZodType>(schema: T, value: unknown, where: string): z.infer<T> {
  const result = z.safeParse(schema, value);
  if (result.success) return result.data;
  const details = Object.fromEntries(
    result.error.issues.map((issue) => [issue.path.join(".") || "(whole)", issue.message]),
  );
  const problems = Object.entries(details).map(([field, problem]) => `${field}: ${problem}`);
  throw new ConfigurationError("INVALID_CONFIG", `The ${where} is not valid. ${problems.join("; ")}`, {
    details,
  });
}

function readProvider(framework: Framework, environment: Record<string, string>): ProviderAccess {
  if (framework === "echo") return { apiKey: ECHO_KEY, baseUrl: undefined, keyVariable: "" };
  const { key, baseUrl } = PROVIDER_VARIABLES[framework];
  return { apiKey: environment[key], baseUrl: readUrl(baseUrl, environment[baseUrl]), keyVariable: key };
}

function readFramework(framework = "openai"): Framework {
  const known = FRAMEWORKS.find((name) => name === framework);
  if (known) return known;
  const message = `Framework "${framework}" is not known; it is one of ${FRAMEWORKS.join(", ")}.`;
  throw new ConfigurationError("INVALID_FRAMEWORK", message, { framework });
}

/** Which models a provider has is the catalogue's business; here only what can never be a model's name is refused. */
function readModel(model: string | undefined): string | undefined {
  if (model === undefined || /^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$/.test(model)) return model;
  throw new ConfigurationError("INVALID_MODEL", `"${model.slice(0, 200)}" is not a model's name.`, { model });
}

function readProject(url: string | undefined, key: string | undefined): ProjectAccess | undefined {
  return url === undefined || key === undefined ? undefined : { url: url.replace(/\/+$/, ""), key };
}

/** `none` where nothing is excepted: an empty variable counts as one that is not set. */
function readHosts(list: string | undefined): string[] | undefined {
  return list === undefined ? undefined : parseHosts(list).filter((host) => host !== "none");
}

function readUrl(variable: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const url = URL.parse(value);
  if (url && (url.protocol === "http:" || url.protocol === "https:")) return value.replace(/\/+$/, "");
  throw new ConfigurationError("INVALID_CONFIG", `${variable} is not an http(s) address.`, { variable });
}

/** Anything the agent was given may be a secret, except addresses; short values would blot out ordinary words. */
function secretValues(environment: Record<string, string>): string[] {
  return Object.entries(environment)
    .filter(([name, value]) => value.length >= 8 && !name.endsWith("_BASE_URL"))
    .map(([, value]) => value)
    .sort((a, b) => b.length - a.length);
}
