// The EndpointSlices that lead an agent's Service to the controllers while the agent sleeps.

import { isIPv6 } from "node:net";
import type { V1EndpointSlice } from "@kubernetes/client-node";
import type { KubeObject } from "../api.ts";
import { ANNOTATIONS, clip, DOOR_KEEPER, LABELS, PORT_NAME, serviceName } from "../names.ts";
import type { DoorOptions } from "../options.ts";
import type { AgentContext } from "./context.ts";
import type { Wire } from "./wire.ts";

/**
 * One for each IP family that the controllers have. A Service may have slices beside those that its selector makes: whoever
 * sends requests to it (kube-proxy, an ingress controller) takes the ready endpoints of all of them. So pods that end and
 * controllers that hold requests serve the same Service side by side, and no request meets a Service without an endpoint.
 */
export function doorSlices({ labels, meta, workload }: AgentContext, door: DoorOptions): KubeObject[] {
  const service = serviceName(workload.agentId);
  const families = Map.groupBy([...new Set(door.addresses())].sort(), (address) =>
    isIPv6(address) ? "IPv6" : "IPv4",
  );
  return [...families].map(
    ([family, addresses]) =>
      ({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          ...meta(clip(`${service}-door-${family.toLowerCase()}`)),
          // Another for each time it falls asleep: the end of an earlier door, asked for late, is not the end of this one.
          annotations: { [ANNOTATIONS.generation]: String(workload.generation) },
          labels: { ...labels, [LABELS.service]: service, [LABELS.sliceKeeper]: DOOR_KEEPER },
        },
        addressType: family,
        endpoints: addresses.map((address) => ({
          addresses: [address],
          conditions: { ready: true, serving: true, terminating: false },
        })),
        ports: [{ name: PORT_NAME, port: door.port, protocol: "TCP" }],
      }) satisfies Wire<V1EndpointSlice>,
  );
}
