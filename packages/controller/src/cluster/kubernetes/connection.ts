// Describes how to reach an API server, and opens the connection pools for it.

import { Agent, type buildConnector, type Dispatcher, ProxyAgent, Socks5ProxyAgent } from "undici";

/** How to reach an API server, and as whom. */
export interface Connection {
  /** The server's address, without a slash at its end. */
  server: string;
  /** What proves who asks; asked for before each call, since tokens are renewed. */
  credentials(): Promise<{ headers: Record<string, string>; pools: Pools }>;
  close(): Promise<void>;
}

/** Calls that end on their own, and watches and logs that stay: they must not wait for each other. */
export interface Pools {
  calls: Dispatcher;
  streams: Dispatcher;
}

/** How connections are made; the same words as the Kubernetes library's. */
export type Route =
  | { type: "proxy"; uri: string; requestTls: buildConnector.BuildOptions }
  | { type: "socks"; uri: string; requestTls: buildConnector.BuildOptions }
  | { type: "agent"; connect: buildConnector.BuildOptions }
  | { type: "none" };

/**
 * How the API server is reached: by a kubeconfig, or as the pod that this runs in.
 * @throws {Error} one sentence: no such file, no such context, not in a cluster
 */
export async function connect(
  kubeconfig: string | undefined,
  context: string | undefined,
): Promise<Connection> {
  // Each loaded alone: the library that reads kubeconfigs takes 45 MB, and a pod needs none of it.
  if (kubeconfig === undefined) return (await import("./in-cluster.ts")).connectInCluster();
  const { connectBy, loadKubeConfig } = await import("./kubeconfig.ts");
  return connectBy(loadKubeConfig(kubeconfig, context));
}

/**
 * How long a connection may owe the beginning of an answer, less than callers wait. HTTP/2 puts all calls on one, and it
 * may have died without a word (a load balancer, a NAT): when this is over the pool asks it for a sign of life, and opens
 * another where none comes. A caller who gives up by himself changes nothing: the next call would lie on the same one.
 */
const ANSWER_MS = 10_000;
/** More calls than fit in these wait for a connection: many are no faster, and cost the server. */
const CONNECTIONS = 8;

export function createPools(route: Route, answerMs = ANSWER_MS): Pools {
  return { calls: createPool(route, CONNECTIONS, answerMs), streams: createPool(route, null, answerMs) };
}

export async function closePools(pools: Pools | undefined): Promise<void> {
  await Promise.all(Object.values(pools ?? {}).map((pool: Dispatcher) => pool.destroy()));
}

/** HTTP/2 where the server speaks it (API servers do): a hundred calls, watches and logs share one connection. */
function createPool(route: Route, connections: number | null, headersTimeout: number): Dispatcher {
  // Watches and logs that have begun may be silent: their own timers end them, not the pool's.
  const common = { headersTimeout, bodyTimeout: 0, connections };
  switch (route.type) {
    case "proxy":
      return new ProxyAgent({ uri: route.uri, requestTls: route.requestTls, ...common });
    case "socks":
      return new Socks5ProxyAgent(route.uri, { requestTls: route.requestTls, ...common });
    case "agent":
      return new Agent({ connect: route.connect, ...common });
    case "none":
      return new Agent(common);
  }
}
