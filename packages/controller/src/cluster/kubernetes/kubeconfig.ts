// Reads and merges kubeconfig files.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { RequestOptions } from "node:https";
import { delimiter } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { KubeError } from "./api.ts";
import { type Connection, closePools, createPools, type Pools, type Route } from "./connection.ts";

/**
 * Reads a kubeconfig, or several as kubectl merges them: of clusters, users, contexts and the current context the first
 * file that names one counts, and a file of several that does not exist is skipped. (The library's own merge lets the last
 * current context count and throws on a name that comes twice: findings/kubeconfig-merge.sh.)
 * @param files one path, or several separated as in KUBECONFIG
 * @param context the context to use; undefined: the current one
 * @throws {Error} one sentence: no such file, no such context
 */
export function loadKubeConfig(files: string, context: string | undefined): KubeConfig {
  const existing = files.split(delimiter).filter((file) => file !== "" && existsSync(file));
  if (existing.length === 0) throw new Error(`There is no kubeconfig at ${files}.`);
  const [config = new KubeConfig(), ...further] = existing.map(readFile);
  for (const next of further) {
    addUnknown(config.clusters, next.clusters);
    addUnknown(config.users, next.users);
    addUnknown(config.contexts, next.contexts);
    if (!config.currentContext) config.setCurrentContext(next.currentContext);
  }
  if (context !== undefined) {
    const known = config.getContexts().map(({ name }) => name);
    if (!known.includes(context)) {
      throw new Error(`The kubeconfig has no context "${context}"; it has ${known.join(", ") || "none"}.`);
    }
    config.setCurrentContext(context);
  }
  if (config.getCurrentCluster() === null) {
    throw new Error(`The kubeconfig's context "${config.getCurrentContext()}" names no cluster.`);
  }
  return config;
}

function readFile(file: string): KubeConfig {
  const config = new KubeConfig();
  try {
    config.loadFromFile(file);
  } catch (cause) {
    throw new Error(`The kubeconfig ${file} cannot be read.`, { cause });
  }
  return config;
}

/** Adds what has a name that is not there yet. */
function addUnknown<T extends { name: string }>(known: T[], more: readonly T[]): void {
  for (const item of more) if (!known.some(({ name }) => name === item.name)) known.push(item);
}

/**
 * A connection with one pool for all calls. The library itself opens an agent, and so a TCP connection, for each call
 * that needs TLS settings; here a new pool comes only when the settings (a renewed certificate) differ.
 */
export function connectBy(config: KubeConfig): Connection {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error("The kubeconfig names no cluster.");
  let current: { id: string; pools: Pools } | undefined;

  const poolsOf = (options: RequestOptions): Pools => {
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
    const given = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
    const tls = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const id = createHash("sha256").update(JSON.stringify(tls)).digest("hex");
    if (current?.id === id) return current.pools;
    if (current !== undefined) for (const old of Object.values(current.pools)) void old.close();
    // The library's TLS settings are those that undici takes; none of them is undefined.
    current = { id, pools: createPools(config.createDispatcherOptions(cluster, tls) as Route) };
    return current.pools;
  };

  return {
    server: cluster.server.replace(/\/+$/, ""),
    async credentials() {
      const options: RequestOptions = {};
      try {
        await config.applyToHTTPSOptions(options);
      } catch (cause) {
        throw new KubeError("UNAUTHORIZED", "Could not obtain credentials from the kubeconfig.", { cause });
      }
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
      if (typeof options.auth === "string") {
        headers.Authorization = `Basic ${Buffer.from(options.auth).toString("base64")}`;
      }
      return { headers, pools: poolsOf(options) };
    },
    async close() {
      await closePools(current?.pools);
      current = undefined;
    },
  };
}
