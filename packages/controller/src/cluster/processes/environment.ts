// Builds the environment variables of a replica.

import type { ProjectAccess } from "../../config.ts";
import { redirecting } from "../redirects.ts";
import { probeKeyOf } from "../runtime.ts";
import { heapMebibytes } from "./memory-limit.ts";

/** Names that belong to the machinery: an agent's secret cannot take them. */
const RESERVED =
  /^(AGENT_.*|LAUNCHPAD_.*|NODE_.*|LD_.*|DYLD_.*|OPENSSL_.*|GLIBC_TUNABLES|GCONV_PATH|PATH|HOME|TMPDIR|HOST|PORT)$/;
/** The one of them that comes from the database: what the platform signs its messages to this agent with. */
const MESSAGE_KEY = "AGENT_MESSAGE_KEY";
/** Which of the providers' settings are keys; the others are addresses. */
const IS_KEY = /_API_KEY$/;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** What Node, libuv, glibc or ICU may read once, as a process begins. */
const READ_AT_START =
  /^(TZ|TZDIR|LANG|LANGUAGE|LC_.*|LOCPATH|NLSPATH|ICU_.*|MALLOC_.*|UV_.*|SSL_.*|SSLKEYLOGFILE|RES_OPTIONS|LOCALDOMAIN|HOSTALIASES|RESOLV_.*|NO_COLOR|FORCE_COLOR|DEBUG)$/i;

/** Whether these variables of an agent's work as well where the process gets them after its start. */
export function workLater(own: Record<string, string>): boolean {
  return !Object.keys(usable(own)).some((name) => READ_AT_START.test(name));
}

/** What a process is started with, whoever's it becomes. */
export interface ProcessIdentity {
  stateDir: string;
  memoryBytes: number;
}

export interface ReplicaIdentity extends ProcessIdentity {
  agentId: string;
  replica: string;
  generation: number;
  configFile: string;
  project: ProjectAccess;
  /** Hosts that the operator lets agents reach though their addresses are not public. */
  privateHosts: readonly string[];
}

/**
 * The whole environment of a replica: what a process needs to run, the providers' settings, the agent's own secrets
 * (which win over the providers'), and who it is. Nothing of the controller's own environment besides.
 */
export function replicaEnvironment(
  identity: ReplicaIdentity,
  machine: Record<string, string>,
  providers: Record<string, string>,
  own: Record<string, string>,
): Record<string, string> {
  return {
    ...machine,
    ...handedOn(providers, own),
    ...processEnvironment(identity),
    AGENT_ID: identity.agentId,
    AGENT_REPLICA: identity.replica,
    AGENT_GENERATION: String(identity.generation),
    AGENT_CONFIG_FILE: identity.configFile,
    AGENT_PROJECT_URL: identity.project.url,
    AGENT_PROJECT_KEY: identity.project.key,
    AGENT_PROBE_KEY: probeKeyOf(identity.project.probeSecret, identity.agentId),
    // The controller's own ingress is one more.
    AGENT_PROXY_HOPS: String(identity.project.proxyHops + 1),
    AGENT_PRIVATE_HOSTS: reachable(identity.privateHosts, providers, own).join(",") || "none",
  };
}

/** The part of it that no agent's configuration decides; a runtime that waits is started with this and the machine's. */
export function processEnvironment({ memoryBytes, stateDir }: ProcessIdentity): Record<string, string> {
  return {
    HOME: stateDir,
    TMPDIR: stateDir,
    NODE_ENV: "production",
    // Of glibc: memory that threads would keep each for itself, 0.6 MB of an idle replica.
    MALLOC_ARENA_MAX: "1",
    NODE_OPTIONS: `--max-old-space-size=${heapMebibytes(memoryBytes)}`,
    AGENT_STATE_DIR: stateDir,
    HOST: "127.0.0.1",
    PORT: "0",
  };
}

/** The operator's exceptions; and where no variable of the agent's leads requests elsewhere, the operator's addresses. */
function reachable(
  exceptions: readonly string[],
  providers: Record<string, string>,
  own: Record<string, string>,
): string[] {
  if (redirecting(usable(own)).length > 0) return [...exceptions];
  const addresses = Object.entries(providers).flatMap(([name, value]) =>
    IS_KEY.test(name) ? [] : [URL.parse(value)],
  );
  return [
    ...exceptions,
    ...addresses.flatMap((url) =>
      url === null
        ? []
        : [`${url.hostname.replace(/^\[|\]$/g, "")}:${url.port || (url.protocol === "https:" ? 443 : 80)}`],
    ),
  ];
}

/** The providers' settings and the agent's own secrets, which win over them; without what an agent may not set. */
export function handedOn(
  providers: Record<string, string>,
  own: Record<string, string>,
): Record<string, string> {
  const secrets = usable(own);
  const kept = withheldKeys(providers, own).names;
  return {
    ...Object.fromEntries(Object.entries(providers).filter(([name]) => !kept.includes(name))),
    ...secrets,
  };
}

/**
 * The operator's keys that are not handed on, and the agent's variables that are why: where one of them may decide where
 * requests go, a key could travel to an address that the agent's owner chose. Nothing is withheld that the agent brings.
 */
export function withheldKeys(
  providers: Record<string, string>,
  own: Record<string, string>,
): { names: string[]; because: string[] } {
  const secrets = usable(own);
  const because = redirecting(secrets);
  const names = Object.keys(providers).filter((name) => IS_KEY.test(name) && !(name in secrets));
  return because.length === 0 || names.length === 0 ? { names: [], because: [] } : { names, because };
}

/** Names of an agent's own variables that are not handed on. */
export function refusedNames(own: Record<string, string>): string[] {
  const kept = usable(own);
  return Object.keys(own).filter((name) => !(name in kept));
}

/** Values that must not appear in the agent's logs: its own, and the providers' keys. */
export function secretValues(providers: Record<string, string>, own: Record<string, string>): string[] {
  const keys = Object.entries(providers).filter(([name]) => IS_KEY.test(name));
  return [...keys.map(([, value]) => value), ...Object.values(own)];
}

function usable(own: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(own).filter(
      ([name, value]) =>
        NAME.test(name) && (name === MESSAGE_KEY || !RESERVED.test(name)) && !value.includes("\0"),
    ),
  );
}
