import { Agent, request } from "undici";
import { type KubeApi, KubeError } from "../api.ts";
import { PORT } from "../names.ts";
import type { Pod } from "./objects.ts";

export interface PodAnswer {
  status: number;
  body: string;
  milliseconds: number;
}

/** How the agent in a pod is asked. */
export interface PodAccess {
  /**
   * One GET.
   * @returns undefined when it does not answer in time, or not at all
   */
  get(pod: Pod, path: string, timeoutMs: number): Promise<PodAnswer | undefined>;
  close(): Promise<void>;
}

/** An answer of the runtime's is a few kilobytes. */
const MOST = 1024 * 1024;

/**
 * @param how `direct`: to the pod's own address, from within the cluster; `proxy`: through the API server
 */
export function createPodAccess(api: Pick<KubeApi, "podProxy">, how: "direct" | "proxy"): PodAccess {
  return how === "direct" ? directAccess() : proxyAccess(api);
}

function directAccess(): PodAccess {
  // A pod is asked every few seconds: its connection is kept, but not for long after it is gone.
  const dispatcher = new Agent({
    connections: 1,
    keepAliveTimeout: 30_000,
    connect: { timeout: 5000 },
    maxResponseSize: MOST,
  });
  return {
    async get(pod, path, timeoutMs) {
      const ip = pod.status?.podIP;
      if (ip === undefined) return undefined;
      const host = ip.includes(":") ? `[${ip}]` : ip;
      const started = performance.now();
      try {
        const { body, statusCode } = await request(`http://${host}:${PORT}${path}`, {
          dispatcher,
          signal: AbortSignal.timeout(timeoutMs),
        });
        const text = await body.text();
        return { status: statusCode, body: text, milliseconds: performance.now() - started };
      } catch {
        return undefined;
      }
    },
    close: () => dispatcher.destroy(),
  };
}

function proxyAccess(api: Pick<KubeApi, "podProxy">): PodAccess {
  return {
    async get({ metadata }, path, timeoutMs) {
      const started = performance.now();
      try {
        const { namespace = "", name } = metadata;
        const { body, status } = await api.podProxy(namespace, name, PORT, path, timeoutMs);
        return { status, body, milliseconds: performance.now() - started };
      } catch (error) {
        if (error instanceof KubeError) return undefined;
        throw error;
      }
    },
    close: async () => {},
  };
}
