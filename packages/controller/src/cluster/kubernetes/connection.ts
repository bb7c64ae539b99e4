import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import type { RequestOptions } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { KubeConfig } from "@kubernetes/client-node";
import { Agent, type buildConnector, type Dispatcher, ProxyAgent, Socks5ProxyAgent } from "undici";
import { KubeError } from "./api.ts";

/** How to reach an API server, and as whom. */
export interface Connection {
  /** The server's address, without a slash at its end. */
  server: string;
  /** What proves who asks; asked for before each call, since tokens are renewed. */
  credentials(): Promise<{ headers: Record<string, string>; pools: Pools }>;
  close(): Promise<void>;
}

/** More calls than fit in these wait for a connection: many are no faster, and cost the server. */
const CONNECTIONS = 8;

/** Calls that end by themselves, and watches and logs that stay: they must not wait for each other. */
export interface Pools {
  calls: Dispatcher;
  streams: Dispatcher;
}

/**
 * Reads a kubeconfig, or the pod's own service account where none is named.
 * @throws {Error} one sentence: no such file, no such context, not in a cluster
 */
export function loadKubeConfig(file: string | undefined, context: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (file === undefined) {
    if (process.env.KUBERNETES_SERVICE_HOST === undefined) {
      throw new Error(
        "There is no Kubernetes cluster to use: name a kubeconfig (LAUNCHPAD_KUBECONFIG), or run the controller in a pod.",
      );
    }
    config.loadFromCluster();
  } else {
    if (!existsSync(file)) throw new Error(`There is no kubeconfig at ${file}.`);
    try {
      config.loadFromFile(file);
    } catch (cause) {
      throw new Error(`The kubeconfig ${file} cannot be read.`, { cause });
    }
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

/**
 * A connection with one pool for all calls. The library itself opens an agent, and so a TCP connection, for each call
 * that needs TLS settings; here a new pool comes only when the settings (a renewed certificate) differ.
 */
export function connect(config: KubeConfig): Connection {
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
    const made = config.createDispatcherOptions(cluster, tls);
    current = { id, pools: { calls: createPool(made, CONNECTIONS), streams: createPool(made, null) } };
    return current.pools;
  };

  return {
    server: cluster.server.replace(/\/+$/, ""),
    async credentials() {
      const options: RequestOptions = {};
      try {
        await config.applyToHTTPSOptions(options);
      } catch (cause) {
        throw new KubeError("UNAUTHORIZED", "The kubeconfig's credentials cannot be had.", { cause });
      }
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value);
      if (typeof options.auth === "string") {
        headers.Authorization = `Basic ${Buffer.from(options.auth).toString("base64")}`;
      }
      return { headers, pools: poolsOf(options) };
    },
    async close() {
      await Promise.all(Object.values(current?.pools ?? {}).map((pool: Dispatcher) => pool.destroy()));
      current = undefined;
    },
  };
}

/** HTTP/2 where the server speaks it (API servers do): a hundred calls, watches and logs share one connection. */
function createPool(
  options: ReturnType<KubeConfig["createDispatcherOptions"]>,
  connections: number | null,
): Dispatcher {
  // Watches and logs may be silent: their own timers end them, not the pool's.
  const common = { headersTimeout: 0, bodyTimeout: 0, connections };
  switch (options.type) {
    case "proxy":
      return new ProxyAgent({ uri: options.uri, requestTls: settings(options.requestTls), ...common });
    case "socks":
      return new Socks5ProxyAgent(options.uri, { requestTls: settings(options.requestTls), ...common });
    case "agent":
      return new Agent({ connect: settings(options.connect), ...common });
    case "none":
      return new Agent(common);
  }
}

/** The library's TLS settings as undici names their type; none of them is undefined. */
function settings(tls: ConnectionOptions): buildConnector.BuildOptions {
  return tls as buildConnector.BuildOptions;
}
