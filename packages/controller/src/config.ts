// Parses the controller's settings; nothing else reads the environment.

import { join, resolve } from "node:path";
import { compileCacheDir } from "@agent-launchpad/agent-runtime";
import { z } from "zod";
import {
  agentUrlTemplate,
  type KubernetesSettings,
  kubernetesEnvironment,
  kubernetesSettings,
} from "./config-kubernetes.ts";
import type { OtlpTarget } from "./shipping/otlp.ts";

const port = z.coerce.number().int().min(0).max(65535);
const seconds = (fallback: number, minimum = 0.05) =>
  z.coerce.number().min(minimum).max(3600).default(fallback);
/** A whole number; anything else is refused in words that name the bounds. */
const wholeNumber = (least: number, most: number) => {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.coerce.number({ error }).int({ error }).min(least, { error }).max(most, { error });
};
const megabytes = z.coerce.number().min(1).max(100_000);

/** The command that starts one replica, as a JSON array of strings. */
const command = z
  .string()
  .transform((text, context) => {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      context.addIssue({ code: "custom", message: "is not JSON" });
      return z.NEVER;
    }
  })
  .pipe(z.array(z.string()).min(1));

/** Headers as OTEL_EXPORTER_OTLP_HEADERS writes them: name=value, separated by commas, percent-encoded. */
const otlpHeaders = z
  .string()
  .default("")
  .transform((text, context) => {
    const headers: Record<string, string> = {};
    for (const pair of text.split(",").filter((part) => part.trim() !== "")) {
      const [, name, value] = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=(.*)$/.exec(pair) ?? [];
      try {
        if (name === undefined || value === undefined) throw new Error("no name=value");
        headers[name.toLowerCase()] = decodeURIComponent(value.trim());
      } catch {
        context.addIssue({
          code: "custom",
          message: "must be name=value, separated by commas, percent-encoded",
        });
        return z.NEVER;
      }
    }
    return headers;
  });

const environment = z.object({
  LAUNCHPAD_SUPABASE_URL: z.url(),
  LAUNCHPAD_SECRET_KEY: z
    .string()
    .min(1)
    .refine((key) => !key.startsWith("sb_publishable_"), "is the publishable key; give the secret one"),
  // What agents ask the project with, to judge who calls them.
  LAUNCHPAD_PUBLISHABLE_KEY: z
    .string()
    .min(1)
    .refine((key) => !isSecretKey(key), "is a secret key; give the publishable one"),
  // The project's address as agents reach it; unset: LAUNCHPAD_SUPABASE_URL.
  LAUNCHPAD_PROJECT_URL: z.url({ protocol: /^https?$/ }).optional(),
  // What stands in front of agents and appends to X-Forwarded-For: a gateway, an Ingress, a load balancer.
  LAUNCHPAD_PROXY_HOPS: z.coerce.number().int().min(0).max(9).default(1),
  LAUNCHPAD_WEBHOOK_SECRET: z.string().min(16),
  LAUNCHPAD_STATE_DIR: z.string().min(1),
  LAUNCHPAD_HOST: z.string().min(1).default("127.0.0.1"),
  LAUNCHPAD_PORT: port.default(8080),
  LAUNCHPAD_INGRESS_PORT: port.default(8081),
  // Where the other controllers of the database are; each webhook is told on to them.
  LAUNCHPAD_PEERS: z
    .string()
    .regex(/^[^:/\s]+:\d{1,5}$/, "must be name:port")
    .optional(),
  LAUNCHPAD_CLUSTER: z.enum(["processes", "kubernetes"]).default("processes"),
  LAUNCHPAD_AGENT_URL_TEMPLATE: z.string().includes("{agentId}").optional(),
  // Where a gateway of ours serves agents below a path as well.
  LAUNCHPAD_AGENT_PATH_TEMPLATE: z.string().includes("{agentId}").optional(),
  LAUNCHPAD_POLL_SECONDS: seconds(5),
  LAUNCHPAD_LEASE_SECONDS: seconds(15, 1),
  LAUNCHPAD_METRICS_SECONDS: seconds(15),
  LAUNCHPAD_CONCURRENCY: z.coerce.number().int().min(1).max(256).default(4),
  // A replica that is not ready by then fails its generation.
  LAUNCHPAD_READY_SECONDS: seconds(120),
  // Exits in a row, without a stable life between them, that make a crash loop.
  LAUNCHPAD_CRASH_LIMIT: z.coerce.number().int().min(1).max(100).default(5),
  // A change of all agents' pods (the image) comes in waves of so many percent of them, at least one agent; the next one when the
  // last one is ready and has been for so long; none any more when more agents than this fail.
  LAUNCHPAD_ROLLOUT_PERCENT: z.coerce.number().int().min(1).max(100).default(10),
  LAUNCHPAD_ROLLOUT_MAX_FAILURES: z.coerce.number().int().min(0).max(1_000_000).default(0),
  LAUNCHPAD_ROLLOUT_SOAK_SECONDS: z.coerce.number().int().min(0).max(86_400).default(30),
  // How long the open requests of a replica that is no longer wanted may take.
  LAUNCHPAD_GRACE_SECONDS: seconds(30),
  // Lines of one agent that are kept in a minute (and 4 MiB).
  LAUNCHPAD_AGENT_LOG_LINES: z.coerce.number().int().min(10).max(1_000_000).default(6000),
  LAUNCHPAD_SPOOL_MEGABYTES: megabytes.default(64),
  // Where agents' log lines go instead of the database: an OTLP/HTTP address, whole, such as http://collector:4318/v1/logs.
  LAUNCHPAD_OTLP_LOGS_URL: z.url({ protocol: /^https?$/ }).optional(),
  LAUNCHPAD_OTLP_LOGS_HEADERS: otlpHeaders,
  LAUNCHPAD_RUNTIME_COMMAND: command.optional(),
  // Runtimes that wait for an agent, started already.
  LAUNCHPAD_POOL_SIZE: wholeNumber(0, 1000).default(2),
  // Where plugins and elizaOS are installed; unset: in the state directory.
  LAUNCHPAD_PLUGIN_STORE: z.string().min(1).optional(),
  // What the store may hold where pods fetch plugins from it; sets that were not used for longest go first.
  LAUNCHPAD_PLUGIN_STORE_MEGABYTES: megabytes.default(2048),
  // npm's own file, run by Node, where there is no `npm` on the path: the controller's image.
  LAUNCHPAD_NPM: z.string().min(1).optional(),
  // Whether elizaOS is taken from packages/agent-runtime/eliza where `npm run install:eliza` put it.
  LAUNCHPAD_PLUGIN_PREFILLED: z.enum(["auto", "off"]).default("auto"),
  // Hosts, or host:port, that agents may reach though their addresses are not public.
  LAUNCHPAD_AGENT_PRIVATE_HOSTS: z
    .string()
    .regex(/^[^/@]*$/, "must be hosts or host:port, separated by commas")
    .default(""),
  // The same for the tools of agents, and how long one call of a tool may take: the function `respond` reads them too.
  LAUNCHPAD_TOOL_PRIVATE_HOSTS: z
    .string()
    .regex(/^[^/@]*$/, "must be hosts or host:port, separated by commas")
    .default(""),
  LAUNCHPAD_TOOL_SECONDS: z.coerce.number().min(0.1).max(120).default(10),
  LAUNCHPAD_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
});

/** Settings of model providers, handed on to every agent; an agent's own secret of the same name wins. */
const PROVIDER_NAMES = [
  "OPENAI_API_KEY",
  "OPENAI_BASE_URL",
  "OPENAI_API",
  "ANTHROPIC_API_KEY",
  "ANTHROPIC_BASE_URL",
  "GOOGLE_GENERATIVE_AI_API_KEY",
  "GOOGLE_GENERATIVE_AI_BASE_URL",
] as const;

/** What a process needs from its machine to run at all and to reach the network; nothing else is handed on. */
const MACHINE_NAMES = [
  "PATH",
  "LANG",
  "LC_ALL",
  "TZ",
  "SYSTEMROOT",
  "NODE_EXTRA_CA_CERTS",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
] as const;

/** What every agent is told of the project: its address, and the key that anybody may know. */
export interface ProjectAccess {
  url: string;
  key: string;
  /** What the keys are made of that the controller reads agents' figures with (probeKeyOf). */
  probeSecret: string;
  /** Proxies of the operator's in front of agents, each of which appends to X-Forwarded-For. */
  proxyHops: number;
}

/** The port of an address, where it names none too. */
export function projectPort(address: string): number {
  const { port, protocol } = new URL(address);
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}

export interface Config {
  supabaseUrl: string;
  secretKey: string;
  project: ProjectAccess;
  webhookSecret: string;
  stateDir: string;
  host: string;
  port: number;
  ingressPort: number;
  peers: string | undefined;
  cluster: "processes" | "kubernetes";
  /** Settings of the cluster `kubernetes`; undefined where another one was chosen. */
  kubernetes: KubernetesSettings | undefined;
  agentUrlTemplate: string;
  agentPathTemplate: string | undefined;
  pollSeconds: number;
  leaseSeconds: number;
  metricsSeconds: number;
  concurrency: number;
  readySeconds: number;
  crashLimit: number;
  graceSeconds: number;
  rollout: { percent: number; maxFailures: number; soakSeconds: number };
  spoolBytes: number;
  /** Where log lines go instead of the database. */
  otlpLogs: OtlpTarget | undefined;
  /** The operator's own; undefined: the agent runtime, under Node's permission model. */
  runtimeCommand: string[] | undefined;
  poolSize: number;
  plugins: { folder: string; prefilled: boolean; maxBytes: number; npm: string | undefined };
  privateHosts: string[];
  tools: { privateHosts: string[]; timeoutMs: number };
  logLines: number;
  logLevel: "debug" | "info" | "warn" | "error";
  providerEnvironment: Record<string, string>;
  machineEnvironment: Record<string, string>;
}

/**
 * Reads the controller's settings; the only place that looks at the environment.
 * @throws {Error} one sentence that names every setting that is missing or wrong, never its value
 */
export function readConfig(source: NodeJS.ProcessEnv): Config {
  // An empty variable means "not set", as shells and compose files write it.
  const given = Object.fromEntries(Object.entries(source).filter(([, value]) => value !== ""));
  const parsed = environment.safeParse(given);
  const cluster =
    given.LAUNCHPAD_CLUSTER === "kubernetes" ? kubernetesEnvironment.safeParse(given) : undefined;
  const issues = [...(parsed.error?.issues ?? []), ...(cluster?.error?.issues ?? [])];
  if (!parsed.success || issues.length > 0) {
    const problems = issues.map(({ code, path, message }) => {
      const missing = code === "invalid_type" && given[String(path[0])] === undefined;
      return missing ? `${String(path[0])} is missing` : `${path.join(".")}: ${message}`;
    });
    throw new Error(`The controller's settings do not work. ${problems.join("; ")}`);
  }
  const value = parsed.data;
  const kubernetes = cluster?.data === undefined ? undefined : kubernetesSettings(cluster.data);
  return {
    supabaseUrl: value.LAUNCHPAD_SUPABASE_URL.replace(/\/+$/, ""),
    secretKey: value.LAUNCHPAD_SECRET_KEY,
    project: {
      url: (value.LAUNCHPAD_PROJECT_URL ?? value.LAUNCHPAD_SUPABASE_URL).replace(/\/+$/, ""),
      key: value.LAUNCHPAD_PUBLISHABLE_KEY,
      probeSecret: value.LAUNCHPAD_WEBHOOK_SECRET,
      proxyHops: value.LAUNCHPAD_PROXY_HOPS,
    },
    webhookSecret: value.LAUNCHPAD_WEBHOOK_SECRET,
    stateDir: resolve(value.LAUNCHPAD_STATE_DIR),
    host: value.LAUNCHPAD_HOST,
    port: value.LAUNCHPAD_PORT,
    ingressPort: value.LAUNCHPAD_INGRESS_PORT,
    peers: value.LAUNCHPAD_PEERS,
    cluster: value.LAUNCHPAD_CLUSTER,
    kubernetes,
    agentUrlTemplate:
      value.LAUNCHPAD_AGENT_URL_TEMPLATE ??
      (kubernetes ? agentUrlTemplate(kubernetes) : "http://{agentId}.agents.localhost:8081"),
    agentPathTemplate: value.LAUNCHPAD_AGENT_PATH_TEMPLATE,
    pollSeconds: value.LAUNCHPAD_POLL_SECONDS,
    leaseSeconds: value.LAUNCHPAD_LEASE_SECONDS,
    metricsSeconds: value.LAUNCHPAD_METRICS_SECONDS,
    concurrency: value.LAUNCHPAD_CONCURRENCY,
    readySeconds: value.LAUNCHPAD_READY_SECONDS,
    crashLimit: value.LAUNCHPAD_CRASH_LIMIT,
    graceSeconds: value.LAUNCHPAD_GRACE_SECONDS,
    rollout: {
      percent: value.LAUNCHPAD_ROLLOUT_PERCENT,
      maxFailures: value.LAUNCHPAD_ROLLOUT_MAX_FAILURES,
      soakSeconds: value.LAUNCHPAD_ROLLOUT_SOAK_SECONDS,
    },
    spoolBytes: value.LAUNCHPAD_SPOOL_MEGABYTES * 1024 * 1024,
    otlpLogs:
      value.LAUNCHPAD_OTLP_LOGS_URL === undefined
        ? undefined
        : { url: value.LAUNCHPAD_OTLP_LOGS_URL, headers: value.LAUNCHPAD_OTLP_LOGS_HEADERS },
    runtimeCommand: value.LAUNCHPAD_RUNTIME_COMMAND,
    poolSize: value.LAUNCHPAD_POOL_SIZE,
    plugins: {
      folder: resolve(value.LAUNCHPAD_PLUGIN_STORE ?? join(value.LAUNCHPAD_STATE_DIR, "plugins")),
      prefilled: value.LAUNCHPAD_PLUGIN_PREFILLED === "auto",
      maxBytes: value.LAUNCHPAD_PLUGIN_STORE_MEGABYTES * 1024 * 1024,
      npm: value.LAUNCHPAD_NPM,
    },
    logLines: value.LAUNCHPAD_AGENT_LOG_LINES,
    privateHosts: hostsIn(value.LAUNCHPAD_AGENT_PRIVATE_HOSTS),
    tools: {
      privateHosts: hostsIn(value.LAUNCHPAD_TOOL_PRIVATE_HOSTS),
      timeoutMs: Math.round(value.LAUNCHPAD_TOOL_SECONDS * 1000),
    },
    logLevel: value.LAUNCHPAD_LOG_LEVEL,
    providerEnvironment: pick(given, PROVIDER_NAMES),
    machineEnvironment: {
      ...pick(given, MACHINE_NAMES),
      // A replica that finds its code compiled starts in half the time and takes less memory.
      NODE_COMPILE_CACHE: compileCacheDir,
      AGENT_TOOL_PRIVATE_HOSTS: value.LAUNCHPAD_TOOL_PRIVATE_HOSTS.trim() || "none",
      AGENT_TOOL_TIMEOUT_MS: String(Math.round(value.LAUNCHPAD_TOOL_SECONDS * 1000)),
    },
  };
}

const hostsIn = (text: string): string[] =>
  text
    .split(",")
    .map((host) => host.trim())
    .filter((host) => host !== "");

/** Agents' code can read what agents are told: a key that may do everything must never be given to them. */
function isSecretKey(key: string): boolean {
  if (key.startsWith("sb_secret_")) return true;
  try {
    const claims: unknown = JSON.parse(Buffer.from(key.split(".")[1] ?? "", "base64url").toString());
    return (claims as { role?: unknown } | null)?.role === "service_role";
  } catch {
    return false; // no JWT
  }
}

function pick(source: Record<string, string | undefined>, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = source[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}
