import { specOf } from "../../testing/memory-database.ts";
import type { Workload } from "../cluster.ts";
import type { ManifestOptions } from "./options.ts";

/** Options for tests. */
export function manifestOptionsOf(part: Partial<ManifestOptions> = {}): ManifestOptions {
  return {
    installation: "test",
    namespacePrefix: "agents-",
    image: "registry.example/agent-runtime:1",
    domain: "example.com",
    expose: "ingress",
    ingressNamespace: "ingress-nginx",
    ingressCidrs: [],
    egress: { allowCidrs: [], exceptCidrs: [], ports: [] },
    controllerNamespace: "agent-launchpad",
    providerEnvironment: {},
    project: { url: "https://project.example.com", key: "sb_publishable_test", places: [] },
    readyMs: 120_000,
    graceMs: 30_000,
    ...part,
  };
}

/** A workload for tests. */
export function workloadOf(part: Partial<Workload> = {}): Workload {
  return {
    agentId: "agent-1",
    userId: "user-1",
    quota: { maxAgents: 5, maxReplicas: 10, maxCpuMillicores: 8000, maxMemoryBytes: 8 * 1024 ** 3 },
    generation: 1,
    revision: 1,
    template: "0123456789abcdef",
    replicas: 1,
    spec: specOf(),
    environment: {},
    ...part,
  };
}
