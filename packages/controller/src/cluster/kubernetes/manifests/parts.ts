import { agentConfig } from "../../agent-config.ts";
import type { KubeObject } from "../api.ts";
import { PORT_NAME, serviceName } from "../names.ts";
import type { AgentContext } from "./context.ts";
import { configName, secretName } from "./context.ts";

/** What the agent must not be without when its pods start: its secrets, its configuration, its identity. */
export function startingParts(context: AgentContext, environment: Record<string, string>): KubeObject[] {
  const { workload, meta } = context;
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: meta(workload.agentId),
      automountServiceAccountToken: false,
    },
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: meta(secretName(context)),
      type: "Opaque",
      immutable: true,
      data: Object.fromEntries(
        Object.entries(environment).map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
      ),
    },
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: meta(configName(context)),
      immutable: true,
      data: { "agent.json": JSON.stringify(agentConfig(workload)) },
    },
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
  };
}

/** How it is reached from outside, at `<agentId>.agents.<domain>`. */
export function outside(context: AgentContext): KubeObject[] {
  const { workload, options } = context;
  const metadata = context.meta(workload.agentId);
  const service = serviceName(workload.agentId);
  const host = `${workload.agentId}.agents.${options.domain.replace(/:\d+$/, "")}`;
  if (options.expose === "ingress") {
    const { ingressClassName, ingressTlsSecret } = options;
    return [
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        metadata,
        spec: {
          ...(ingressClassName === undefined ? {} : { ingressClassName }),
          ...(ingressTlsSecret === undefined
            ? {}
            : { tls: [{ hosts: [host], secretName: ingressTlsSecret }] }),
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
      },
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
      },
    ];
  }
  return [];
}
