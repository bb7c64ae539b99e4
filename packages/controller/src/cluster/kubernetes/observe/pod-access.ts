// Sends HTTP requests to an agent's pod, directly or through the API server.

import { Agent, request } from "undici";
import { PROBE_HEADER, probeKeyOf } from "../../runtime.ts";
import { type KubeApi, KubeError } from "../api.ts";
import { LABELS, PORT } from "../names.ts";
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
 * @param probeSecret what the keys of {@link probeKeyOf} are made of, one of which goes along
 * @param how `direct`: to the pod's own address, from within the cluster; `proxy`: through the API server
 */
export function createPodAccess(
  api: Pick<KubeApi, "podProxy">,
  how: "direct" | "proxy",
  probeSecret: string,
): PodAccess {
  const headersOf = ({ metadata }: Pod) => ({
    [PROBE_HEADER]: probeKeyOf(probeSecret, metadata.labels?.[LABELS.agent] ?? ""),
  });
  return how === "direct" ? directAccess(headersOf) : proxyAccess(api, headersOf);
}

type HeadersOf = (pod: Pod) => Record<string, string>;

function directAccess(headersOf: HeadersOf): PodAccess {
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
          headers: headersOf(pod),
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

function proxyAccess(api: Pick<KubeApi, "podProxy">, headersOf: HeadersOf): PodAccess {
  return {
    async get(pod, path, timeoutMs) {
      const started = performance.now();
      try {
        const { namespace = "", name } = pod.metadata;
        const { body, status } = await api.podProxy(namespace, name, PORT, path, timeoutMs, headersOf(pod));
        return { status, body, milliseconds: performance.now() - started };
      } catch (error) {
        if (error instanceof KubeError) return undefined;
        throw error;
      }
    },
    close: async () => {},
  };
}
