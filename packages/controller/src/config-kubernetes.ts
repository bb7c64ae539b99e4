// Parses the settings that concern Kubernetes.

import { z } from "zod";
import { isNetwork } from "./cluster/kubernetes/network-address.ts";
import type { CaBundle, DnsOptions, PodSecurityContext } from "./cluster/kubernetes/options.ts";
import type { PodFields } from "./contract.ts";
import { VERSION } from "./version.ts";

/** `a, b` or an empty text as a list. */
const list = z.string().transform((text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== ""),
);
const labelKey = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const label = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** A DNS name of lower-case labels; a port may follow (a cluster on a laptop listens where it can). */
const domain = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:\d+)?$/;
const cidr = z
  .union([z.cidrv4(), z.cidrv6()])
  .refine(
    isNetwork,
    "must be a network as Kubernetes takes it, such as 10.0.8.0/24: nothing set behind its prefix",
  );
const id = z.number().int().min(1);

/** A setting of several fields, as JSON. */
const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        context.addIssue({ code: "custom", message: "is not JSON" });
        return z.NEVER;
      }
    })
    .pipe(schema);
const dns = z.strictObject({
  namespaces: z.array(z.string().regex(label, "must be a namespace")).min(1),
  podLabels: z.record(z.string(), z.string()).default({}),
  ports: z.array(z.number().int().min(1).max(65535)).min(1),
  cidrs: z.array(cidr).default([]),
});
const caBundle = z.strictObject({
  kind: z.enum(["Secret", "ConfigMap"]),
  name: z.string().min(1),
  key: z.string().min(1),
});
const podSecurityContext = z.strictObject({
  runAsUser: id.optional(),
  runAsGroup: id.optional(),
  fsGroup: id.optional(),
  supplementalGroups: z.array(id).optional(),
});

const keyed = (value: z.ZodType<string>) =>
  z.record(z.string().regex(labelKey, "must be a label key, such as team or example.com/team"), value);
const labels = keyed(
  z.string().regex(/^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/, "must be a label value"),
);
const objectName = z
  .string()
  .regex(/^$|^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/, "must be the name of an object");
const pods = z.strictObject({
  runtimeClassName: objectName.optional(),
  priorityClassName: objectName.optional(),
  nodeSelector: labels.optional(),
  tolerations: z.array(z.record(z.string(), z.unknown())).optional(),
  affinity: z.record(z.string(), z.unknown()).optional(),
  labels: labels.optional(),
  annotations: keyed(z.string()).optional(),
  hostUsers: z.boolean().optional(),
});

/** Settings of the `kubernetes` cluster. They are read only when it is chosen, and only then must they make sense. */
export const kubernetesEnvironment = z
  .object({
    // Unset: the service account of the pod that the controller runs in.
    LAUNCHPAD_KUBECONFIG: z.string().min(1).optional(),
    LAUNCHPAD_KUBE_CONTEXT: z.string().min(1).optional(),
    // Marks every object; unset: the database's own name, so that two databases may share a cluster.
    LAUNCHPAD_INSTALLATION: z.string().regex(label, "must be a DNS label").optional(),
    // With a user's id (36 characters) behind it, it must still be a DNS label.
    LAUNCHPAD_NAMESPACE_PREFIX: z
      .string()
      .regex(/^[a-z0-9][-a-z0-9]{0,25}$/, "must begin a DNS label of at most 26 characters")
      .default("agents-"),
    LAUNCHPAD_AGENT_IMAGE: z.string().min(1).default(`agent-launchpad/agent-runtime:${VERSION}`),
    LAUNCHPAD_AGENT_IMAGE_PULL_POLICY: z.enum(["Always", "IfNotPresent", "Never"]).default("IfNotPresent"),
    LAUNCHPAD_AGENT_IMAGE_PULL_SECRETS: list.default([]),
    // What agents' pods get, unless the class of their user says otherwise: {runtimeClassName, priorityClassName, nodeSelector,
    // tolerations, affinity, labels, annotations, hostUsers}.
    LAUNCHPAD_AGENT_PODS: json(pods).optional(),
    // Agents are reached at <agentId>.agents.<domain>.
    LAUNCHPAD_AGENT_DOMAIN: z
      .string()
      .regex(domain, "must be a domain name in lower case")
      .default("localhost"),
    LAUNCHPAD_EXPOSE: z.enum(["ingress", "gateway", "none"]).default("ingress"),
    LAUNCHPAD_INGRESS_CLASS: z.string().min(1).optional(),
    // One for all agents, or, with {agentId} in it, one for each.
    LAUNCHPAD_INGRESS_TLS_SECRET: z
      .string()
      .refine((name) => label.test(name.replace("{agentId}", "a")), "must be the name of a Secret")
      .optional(),
    // Of each agent's Ingress, as JSON: what makes certificates, or routers of OpenShift, read them.
    LAUNCHPAD_INGRESS_ANNOTATIONS: json(z.record(z.string(), z.string())).optional(),
    // Pull secrets, the certificate for all agents and certificate authorities are copied from the controller's namespace.
    LAUNCHPAD_COPY_NAMED: z.stringbool().default(true),
    // Certificate authorities that agents trust beside public ones, as JSON.
    LAUNCHPAD_CA_BUNDLE: json(caBundle).optional(),
    // Where the ingress controller's pods are: only they and the controller may reach agents.
    LAUNCHPAD_INGRESS_NAMESPACE: z.string().regex(label, "must be a namespace").default("ingress-nginx"),
    // Where requests come from that no pod sends: a load balancer of the cloud, or nodes (an ingress controller on their network).
    LAUNCHPAD_INGRESS_CIDRS: list.default([]).pipe(z.array(cidr)),
    LAUNCHPAD_GATEWAY: z
      .string()
      .regex(/^[-a-z0-9]+\/[-a-z0-9.]+$/, "must be namespace/name of a Gateway")
      .optional(),
    // Unset: directly from a pod of the cluster, through the API server from anywhere else.
    LAUNCHPAD_POD_ACCESS: z.enum(["direct", "proxy"]).optional(),
    // Model providers and platforms are anywhere on the internet; the cluster's own networks and the cloud's metadata
    // service are none of an agent's business: they are excepted always, and what is named here beside them.
    LAUNCHPAD_EGRESS_CIDRS: list.default(["0.0.0.0/0", "::/0"]).pipe(z.array(cidr)),
    LAUNCHPAD_EGRESS_EXCEPT_CIDRS: list.default([]).pipe(z.array(cidr)),
    // Where the project lies, in a network that is otherwise closed. Unset: what its name means when the controller starts.
    LAUNCHPAD_PROJECT_CIDRS: list.pipe(z.array(cidr)).optional(),
    // Private networks in a wider one are meant too; link-local networks and metadata services never are.
    LAUNCHPAD_EGRESS_ALLOW_PRIVATE: z.stringbool().default(false),
    LAUNCHPAD_EGRESS_PORTS: list.default([]).pipe(z.array(z.coerce.number<string>().int().min(1).max(65535))),
    // Where pods ask for names: {namespaces, podLabels, ports, cidrs}. Ports are the DNS pods' own.
    LAUNCHPAD_DNS: json(dns).optional(),
    // User and groups of agents' pods. What is left out, the cluster chooses (OpenShift).
    LAUNCHPAD_AGENT_POD_SECURITY_CONTEXT: json(podSecurityContext).optional(),
    LAUNCHPAD_NAMESPACE: z.string().regex(label, "must be a namespace").default("agent-launchpad"),
    LAUNCHPAD_TENANT_ROLE: z.string().min(1).optional(),
    LAUNCHPAD_SERVICE_ACCOUNT: z.string().min(1).optional(),
    // Where requests to sleeping agents are held: a name that resolves to every controller of the installation, and LAUNCHPAD_INGRESS_PORT.
    // Unset: requests come to this machine anyway (a laptop), or agents do not sleep.
    LAUNCHPAD_DOORS: z
      .string()
      .regex(/^[^:\s]+:\d+$/, "must be name:port")
      .optional(),
    // For a trial whose database does not outlive it: when the controller stops, all it made in the cluster goes.
    LAUNCHPAD_REMOVE_AT_END: z.stringbool().default(false),
    // Where agents' pods fetch their plugins: this controller, or a Service before all of them. Unset: they run what their image has.
    LAUNCHPAD_PLUGIN_URL: z.url({ protocol: /^https?$/ }).optional(),
    // The port where the controller serves them.
    LAUNCHPAD_PLUGIN_PORT: z.coerce.number<string>().int().min(1).max(65535).default(8082),
    // `off`: agents' logs are left to what collects the cluster's.
    LAUNCHPAD_AGENT_LOGS: z.enum(["store", "off"]).default("store"),
    LAUNCHPAD_RESYNC_SECONDS: z.coerce.number().min(1).max(86_400).default(600),
  })
  .refine((value) => value.LAUNCHPAD_EXPOSE !== "gateway" || value.LAUNCHPAD_GATEWAY !== undefined, {
    path: ["LAUNCHPAD_GATEWAY"],
    message: "must name the Gateway where LAUNCHPAD_EXPOSE is gateway",
  });

export interface KubernetesSettings {
  kubeconfig: string | undefined;
  context: string | undefined;
  installation: string | undefined;
  namespacePrefix: string;
  image: string;
  imagePullPolicy: "Always" | "IfNotPresent" | "Never";
  imagePullSecrets: string[];
  domain: string;
  expose: "ingress" | "gateway" | "none";
  ingressClassName: string | undefined;
  ingressTlsSecret: string | undefined;
  ingressAnnotations: Record<string, string> | undefined;
  caBundle: CaBundle | undefined;
  copyNamed: boolean;
  ingressNamespace: string;
  ingressCidrs: string[];
  gateway: { namespace: string; name: string } | undefined;
  podAccess: "direct" | "proxy";
  egress: { allowCidrs: string[]; exceptCidrs: string[]; allowPrivate: boolean; ports: number[] };
  projectCidrs: string[] | undefined;
  pods: PodFields | undefined;
  dns: DnsOptions | undefined;
  podSecurityContext: PodSecurityContext | undefined;
  controllerNamespace: string;
  tenantRole: { clusterRole: string; serviceAccount: string } | undefined;
  /** Where requests to sleeping agents are held. */
  doors: { name: string; port: number } | undefined;
  removeAtEnd: boolean;
  /** Undefined: pods run what their image has. */
  plugins: { url: string; port: number } | undefined;
  storeLogs: boolean;
  resyncSeconds: number;
}

/** Where agents are reached when nothing else is said: what the Ingress of each agent serves. */
export function agentUrlTemplate(settings: KubernetesSettings): string {
  const scheme = settings.ingressTlsSecret === undefined ? "http" : "https";
  return `${scheme}://{agentId}.agents.${settings.domain}`;
}

/** Names the settings as the program uses them. */
export function kubernetesSettings(value: z.output<typeof kubernetesEnvironment>): KubernetesSettings {
  const [gatewayNamespace, gatewayName] = value.LAUNCHPAD_GATEWAY?.split("/") ?? [];
  return {
    kubeconfig: value.LAUNCHPAD_KUBECONFIG,
    context: value.LAUNCHPAD_KUBE_CONTEXT,
    installation: value.LAUNCHPAD_INSTALLATION,
    namespacePrefix: value.LAUNCHPAD_NAMESPACE_PREFIX,
    image: value.LAUNCHPAD_AGENT_IMAGE,
    imagePullPolicy: value.LAUNCHPAD_AGENT_IMAGE_PULL_POLICY,
    imagePullSecrets: value.LAUNCHPAD_AGENT_IMAGE_PULL_SECRETS,
    domain: value.LAUNCHPAD_AGENT_DOMAIN,
    expose: value.LAUNCHPAD_EXPOSE,
    ingressClassName: value.LAUNCHPAD_INGRESS_CLASS,
    ingressTlsSecret: value.LAUNCHPAD_INGRESS_TLS_SECRET,
    ingressAnnotations: value.LAUNCHPAD_INGRESS_ANNOTATIONS,
    caBundle: value.LAUNCHPAD_CA_BUNDLE,
    copyNamed: value.LAUNCHPAD_COPY_NAMED,
    ingressNamespace: value.LAUNCHPAD_INGRESS_NAMESPACE,
    ingressCidrs: value.LAUNCHPAD_INGRESS_CIDRS,
    gateway:
      gatewayNamespace !== undefined && gatewayName !== undefined
        ? { namespace: gatewayNamespace, name: gatewayName }
        : undefined,
    podAccess: value.LAUNCHPAD_POD_ACCESS ?? (value.LAUNCHPAD_KUBECONFIG === undefined ? "direct" : "proxy"),
    egress: {
      allowCidrs: value.LAUNCHPAD_EGRESS_CIDRS,
      exceptCidrs: value.LAUNCHPAD_EGRESS_EXCEPT_CIDRS,
      allowPrivate: value.LAUNCHPAD_EGRESS_ALLOW_PRIVATE,
      ports: value.LAUNCHPAD_EGRESS_PORTS,
    },
    projectCidrs: value.LAUNCHPAD_PROJECT_CIDRS,
    pods: value.LAUNCHPAD_AGENT_PODS,
    dns: value.LAUNCHPAD_DNS,
    podSecurityContext: value.LAUNCHPAD_AGENT_POD_SECURITY_CONTEXT,
    controllerNamespace: value.LAUNCHPAD_NAMESPACE,
    tenantRole:
      value.LAUNCHPAD_TENANT_ROLE !== undefined && value.LAUNCHPAD_SERVICE_ACCOUNT !== undefined
        ? { clusterRole: value.LAUNCHPAD_TENANT_ROLE, serviceAccount: value.LAUNCHPAD_SERVICE_ACCOUNT }
        : undefined,
    doors: doorsOf(value.LAUNCHPAD_DOORS),
    removeAtEnd: value.LAUNCHPAD_REMOVE_AT_END,
    plugins:
      value.LAUNCHPAD_PLUGIN_URL === undefined
        ? undefined
        : { url: value.LAUNCHPAD_PLUGIN_URL.replace(/\/+$/, ""), port: value.LAUNCHPAD_PLUGIN_PORT },
    storeLogs: value.LAUNCHPAD_AGENT_LOGS === "store",
    resyncSeconds: value.LAUNCHPAD_RESYNC_SECONDS,
  };
}

function doorsOf(setting: string | undefined): KubernetesSettings["doors"] {
  const [name, port] = setting?.split(":") ?? [];
  return name === undefined || port === undefined ? undefined : { name, port: Number(port) };
}
