// Builds an agent's Secret, ConfigMap, ServiceAccount, Service and its Ingress or HTTPRoute.

import type {
  V1ConfigMap,
  V1Ingress,
  V1IngressSpec,
  V1Secret,
  V1Service,
  V1ServiceAccount,
} from "@kubernetes/client-node";
import { agentConfig } from "../../agent-config.ts";
import type { KubeObject } from "../api.ts";
import { ANNOTATIONS, PORT_NAME, serviceName } from "../names.ts";
import type { ManifestOptions } from "../options.ts";
import type { AgentContext } from "./context.ts";
import { configName, secretName } from "./context.ts";
import type { HttpRoute } from "./http-route.ts";
import { optional, type Wire } from "./wire.ts";

/** What the agent must not be without when its pods start: its secrets, its configuration, its identity. */
export function startingParts(context: AgentContext, environment: Record<string, string>): KubeObject[] {
  const { workload, meta } = context;
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: meta(workload.agentId),
      automountServiceAccountToken: false,
    } satisfies Wire<V1ServiceAccount>,
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: meta(secretName(context)),
      type: "Opaque",
      immutable: true,
      data: Object.fromEntries(
        Object.entries(environment).map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
      ),
    } satisfies Wire<V1Secret>,
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: meta(configName(context)),
      immutable: true,
      data: { "agent.json": JSON.stringify(agentConfig(workload)) },
    } satisfies Wire<V1ConfigMap>,
  ];
}

/** How the agent is reached in the cluster. */
export function service({ workload, meta, selector }: AgentContext): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: meta(serviceName(workload.agentId)),
    spec: {
      type: "ClusterIP",
      selector,
      ports: [{ name: PORT_NAME, port: 80, targetPort: PORT_NAME, protocol: "TCP" }],
    },
  } satisfies Wire<V1Service>;
}

/** How it is reached from outside, at `<agentId>.agents.<domain>`. */
export function outside(context: AgentContext): KubeObject[] {
  const { workload, options } = context;
  const metadata = context.meta(workload.agentId);
  const service = serviceName(workload.agentId);
  const host = `${workload.agentId}.agents.${options.domain.replace(/:\d+$/, "")}`;
  if (options.expose === "ingress") {
    const { ingressClassName } = options;
    const certificate = tlsSecretOf(options, workload.agentId);
    return [
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        metadata: { ...metadata, annotations: annotationsOf(context) },
        spec: {
          ...optional<V1IngressSpec>(ingressClassName !== undefined && { ingressClassName }),
          ...optional<V1IngressSpec>(
            certificate !== undefined && { tls: [{ hosts: [host], secretName: certificate }] },
          ),
          rules: [
            {
              host,
              http: {
                paths: [
                  {
                    path: "/",
                    pathType: "Prefix",
                    backend: { service: { name: service, port: { name: PORT_NAME } } },
                  },
                ],
              },
            },
          ],
        },
      } satisfies Wire<V1Ingress>,
    ];
  }
  if (options.expose === "gateway" && options.gateway !== undefined) {
    return [
      {
        apiVersion: "gateway.networking.k8s.io/v1",
        kind: "HTTPRoute",
        metadata,
        spec: {
          // With every default that the definition fills in: what else is there, somebody added.
          parentRefs: [{ group: "gateway.networking.k8s.io", kind: "Gateway", ...options.gateway }],
          hostnames: [host],
          rules: [
            {
              matches: [{ path: { type: "PathPrefix", value: "/" } }],
              backendRefs: [{ group: "", kind: "Service", name: service, port: 80, weight: 1 }],
            },
          ],
        },
      } satisfies HttpRoute,
    ];
  }
  return [];
}

/** The Secret with the certificate of the agent's address: one for all agents, or one of its own. */
export function tlsSecretOf(
  { ingressTlsSecret }: Pick<ManifestOptions, "ingressTlsSecret">,
  agentId: string,
): string | undefined {
  return ingressTlsSecret?.replaceAll("{agentId}", agentId);
}

const ISSUERS = ["cert-manager.io/issuer", "cert-manager.io/cluster-issuer"];
const SECRET_TEMPLATE = "cert-manager.io/secret-template";

/**
 * The operator's, and their names. A certificate that cert-manager makes for this agent alone gets the agent's labels: so it
 * goes with the agent, and keeps no namespace.
 */
function annotationsOf({ options, labels }: AgentContext): Record<string, string> {
  const given = options.ingressAnnotations ?? {};
  const own = options.ingressTlsSecret?.includes("{agentId}") === true;
  const issued = own && ISSUERS.some((name) => name in given);
  const all = { ...(issued && { [SECRET_TEMPLATE]: JSON.stringify({ labels }) }), ...given };
  return { ...all, [ANNOTATIONS.annotations]: Object.keys(all).sort().join(",") };
}
