// Options and workloads for tests of the Kubernetes cluster.

import { systemClock } from "../../clock.ts";
import type { FleetState } from "../../contract.ts";
import { FleetGuard } from "../../fleet/guard.ts";
import { silentLog } from "../../log.ts";
import { specOf } from "../../testing/memory-database.ts";
import type { Workload } from "../cluster.ts";
import type { ManifestOptions } from "./options.ts";

/** What the database of tests says of itself. */
export const FLEET: FleetState = {
  installation: "simulated",
  adopted: [],
  hold: null,
  release: null,
};

/** A guard that has compared the database of tests. */
export function guardOf(): FleetGuard {
  const guard = new FleetGuard({ clock: systemClock, log: silentLog });
  guard.learn(FLEET);
  return guard;
}

/** Options for tests. */
export function manifestOptionsOf(part: Partial<ManifestOptions> = {}): ManifestOptions {
  return {
    installation: "test",
    databaseId: () => FLEET.installation,
    isOurs: (databaseId) => databaseId === FLEET.installation,
    namespacePrefix: "agents-",
    image: "registry.example/agent-runtime:1",
    domain: "example.com",
    expose: "ingress",
    ingressNamespace: "ingress-nginx",
    ingressCidrs: [],
    egress: { allowCidrs: [], exceptCidrs: [], allowPrivate: false, ports: [] },
    controllerNamespace: "agent-launchpad",
    tools: { privateHosts: [], timeoutMs: 10_000 },
    providerEnvironment: {},
    project: {
      url: "https://project.example.com",
      key: "sb_publishable_test",
      probeSecret: "a-secret",
      proxyHops: 1,
      places: [],
    },
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
    class: null,
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
