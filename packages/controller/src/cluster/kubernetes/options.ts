// The options of the Kubernetes cluster and of its manifests.

import type { Clock } from "../../clock.ts";
import type { ProjectAccess } from "../../config.ts";
import type { AgentClass, Gone, PodFields, Tenants } from "../../contract.ts";
import type { FleetGuard } from "../../fleet/guard.ts";
import type { Log } from "../../log.ts";
import type { EventOutcome } from "./events/recorder.ts";

/** What the cluster on Kubernetes is told; see the settings of the controller. */
export interface KubernetesOptions extends ManifestOptions {
  /** Path of a kubeconfig; undefined = the pod's own service account. */
  kubeconfig?: string | undefined;
  context?: string | undefined;
  /** A name that resolves to every controller's address, and the port where each holds requests of sleeping agents. */
  doors?: { name: string; port: number; resolve?: (name: string) => Promise<string[]> } | undefined;
  /** How replicas are asked: by their own address (inside the cluster), or through the API server (from a laptop). */
  podAccess: "direct" | "proxy";
  /** How often everything is compared, beside what the watches tell. */
  resyncSeconds: number;
  /** Lines of one agent that are kept in a minute. */
  logLines?: number | undefined;
  /** Whether agents' logs are stored; true by default. */
  storeLogs?: boolean | undefined;
  log: Log;
  clock: Clock;
  random: () => number;
  /**
   * Whether this controller holds the agent: only then are its logs and figures shipped, and its objects written.
   * @param namespace where an object is that says it is the agent's: it is not, where that is not its owner's
   */
  responsible(agentId: string, namespace?: string): boolean;
  /** Whose agent it is, where this controller holds it. */
  owner?(agentId: string): string | undefined;
  /** The class of its user now, where this controller holds it. */
  classOf?(agentId: string): AgentClass | null | undefined;
  /** Whether anything may be removed. */
  guard: FleetGuard;
  /**
   * Which of these the database no longer knows, has seen the end of, or knows as stopped and held by nobody.
   * @throws when it cannot tell: then nothing is removed
   */
  gone(held: Tenants): Promise<Gone>;
  /** Told of each call and each watch, for Prometheus. */
  observe?: {
    apiCall(verb: string, resource: string, code: number, milliseconds: number): void;
    watch(resource: string, outcome: "started" | "relisted" | "failed"): void;
    event?(outcome: EventOutcome): void;
    logOpening?(how: "followed" | "read"): void;
  };
}

/** What of the options shapes the objects. */
export interface ManifestOptions {
  /** The database's own name: only objects that carry it are touched. */
  installation: string;
  /** The id of the database that answers now, which is written on each user's namespace. */
  databaseId(): string;
  /** Whether a namespace with this mark is the database's. */
  isOurs(databaseId: string | undefined): boolean;
  /** A user's namespace is this and the user's id; `agents-` by default. */
  namespacePrefix: string;
  image: string;
  imagePullPolicy?: "Always" | "IfNotPresent" | "Never" | undefined;
  imagePullSecrets?: readonly string[] | undefined;
  /** What agents' pods get; the class of a user may say otherwise. */
  pods?: PodFields | undefined;
  /** Agents are served at `<agentId>.agents.<domain>`. */
  domain: string;
  expose: "ingress" | "gateway" | "none";
  ingressClassName?: string | undefined;
  /** With `{agentId}` in it each agent has a certificate of its own, which somebody else makes (cert-manager). */
  ingressTlsSecret?: string | undefined;
  /** Of each agent's Ingress. */
  ingressAnnotations?: Record<string, string> | undefined;
  /** Where the ingress controller's pods are: only they and the controller may reach agents. */
  ingressNamespace: string;
  /** And these addresses, which are no pods'. */
  ingressCidrs: readonly string[];
  gateway?: { name: string; namespace: string } | undefined;
  egress: EgressOptions;
  /** Hosts that agents and their tools may reach though their addresses are not public: where they lie. */
  privatePlaces?: readonly PrivatePlace[] | undefined;
  /** What the runtime's own guard of tools is told. */
  tools: ToolOptions;
  /** Where the controller runs. */
  controllerNamespace: string;
  /** The role that the controller gives itself in each user's namespace; undefined = it needs none. */
  tenantRole?: { clusterRole: string; serviceAccount: string } | undefined;
  /** The operator's keys of model providers; an agent's own secret of the same name wins. */
  providerEnvironment: Record<string, string>;
  project: ProjectOptions;
  readyMs: number;
  graceMs: number;
  /** Where pods fetch their plugins, and the port of the controllers' pods behind it; undefined: they run what their image has. */
  plugins?: { url: string; port: number } | undefined;
  /** Where requests to sleeping agents are held; undefined: agents are served at an ingress of this machine. */
  door?: DoorOptions | undefined;
  /** Certificate authorities that agents trust beside public ones. */
  caBundle?: CaBundle | undefined;
  /** Whether what all agents refer to by name is copied from the controller's namespace to users' namespaces. */
  copyNamed?: boolean | undefined;
  /** Undefined: the DNS of most clusters. */
  dns?: DnsOptions | undefined;
  /** Undefined: the user and group of the images. */
  podSecurityContext?: PodSecurityContext | undefined;
}

/** The controllers, as the place where requests to sleeping agents are held. */
export interface DoorOptions {
  /** Of every controller of the installation, as far as they are known now. */
  addresses(): readonly string[];
  port: number;
}

/** Certificates of authorities (PEM) under a key of an object. */
export interface CaBundle {
  kind: "Secret" | "ConfigMap";
  name: string;
  key: string;
}

/** Where pods ask for names, as a network policy sees it. */
export interface DnsOptions {
  namespaces: readonly string[];
  /** Of the DNS pods; empty = all of the namespaces. */
  podLabels: Record<string, string>;
  /** The pods' own ports, which a Service in front of them may not name. */
  ports: readonly number[];
  /** Addresses that are no pods': a cache on the node. */
  cidrs: readonly string[];
}

/** User and groups of agents' pods; what is left out, the cluster chooses. */
export interface PodSecurityContext {
  runAsUser?: number | undefined;
  runAsGroup?: number | undefined;
  fsGroup?: number | undefined;
  supplementalGroups?: readonly number[] | undefined;
}

/** The project that agents ask who calls them. */
export interface ProjectOptions extends ProjectAccess {
  /** Where it lies, as peers of a network policy. */
  places: readonly ProjectPlace[];
}

export type ProjectPlace =
  | { ipBlock: { cidr: string } }
  | { namespaceSelector: { matchLabels: Record<string, string> } };

/** A host that is open to agents; without a port on every one that HTTP has. */
export interface PrivatePlace {
  to: ProjectPlace;
  port?: number;
}

export interface ToolOptions {
  /** Hosts, or host:port, that tools may reach though their addresses are not public; they are among the private places. */
  privateHosts: readonly string[];
  timeoutMs: number;
}

/** Where agents may connect to, beside the cluster's DNS. */
export interface EgressOptions {
  /** Empty = the whole internet without private, link-local and carrier networks. */
  allowCidrs: readonly string[];
  /** Further networks in a wider one of those that are not meant, beside those that are not on the internet. */
  exceptCidrs: readonly string[];
  /** Private networks are meant too, where a wider one holds them: the machine room, the cluster itself. */
  allowPrivate: boolean;
  /** TCP ports; empty = 443. */
  ports: readonly number[];
}
