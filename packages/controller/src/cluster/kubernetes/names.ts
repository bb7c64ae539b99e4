// The names, labels and annotations of everything written to Kubernetes.

import { createHash } from "node:crypto";
import type { ObjectMeta } from "./api.ts";

/** Who writes: the owner of the fields that are applied. */
export const FIELD_MANAGER = "agent-launchpad";

const PREFIX = "agent-launchpad.dev";

/** Who keeps the EndpointSlices of sleeping agents: the cluster's own controllers leave them alone. */
export const DOOR_KEEPER = PREFIX;

export const LABELS = {
  managedBy: "app.kubernetes.io/managed-by",
  name: "app.kubernetes.io/name",
  instance: "app.kubernetes.io/instance",
  installation: `${PREFIX}/installation`,
  agent: `${PREFIX}/agent`,
  user: `${PREFIX}/user`,
  template: `${PREFIX}/template`,
  /** Of pods: the id of what operators decide of them. */
  platform: `${PREFIX}/platform`,
  /** Of pods: `fetched`, where their plugins come from the controller. */
  plugins: `${PREFIX}/plugins`,
  /** Of an EndpointSlice: whose it is, and which Service it is of. */
  sliceKeeper: "endpointslice.kubernetes.io/managed-by",
  service: "kubernetes.io/service-name",
  /** Of the controller's own pods, by the chart: the installation whose plugins they serve. */
  store: `${PREFIX}/plugin-store`,
} as const;

export const ANNOTATIONS = {
  generation: `${PREFIX}/generation`,
  revision: `${PREFIX}/revision`,
  /** Of the Deployment: {generation, reason, message} of the generation that was given up. */
  failure: `${PREFIX}/failure`,
  /** Of the Deployment: how many replicas were asked for, where an autoscaler decides how many there are. */
  replicas: `${PREFIX}/replicas`,
  /** Of a user's namespace: the id of the database that it was made for. Nothing is removed where another one stands. */
  database: `${PREFIX}/database`,
  /** Of a Deployment: `true` while the agent sleeps, and its Service leads to the controllers. */
  asleep: `${PREFIX}/asleep`,
  /** Of a Deployment, or of a namespace for all in it, written by people: `true` keeps the controller's hands off. */
  paused: `${PREFIX}/paused`,
  /** Of a copy of an object of the controller's namespace: which version of it. */
  copyOf: `${PREFIX}/copy-of`,
  /** Of an Ingress: the names of the operator's annotations on it, so that one taken out of the settings goes. */
  annotations: `${PREFIX}/annotations`,
  /** Of a Deployment: the digest of what operators decide of its pods; see podSettings. */
  pods: `${PREFIX}/pods`,
  /** Of a Deployment: which version's pods it has, and what else they were made with; see manifests/form.ts. */
  form: `${PREFIX}/form`,
  setup: `${PREFIX}/setup`,
  /** Of what bounds a namespace: the quota it was made from. */
  quota: `${PREFIX}/quota`,
} as const;

/** The agent's container, and its port. */
export const CONTAINER = "agent";
/** The init step that fetches plugins. */
export const PLUGIN_CONTAINER = "plugins";
export const PORT_NAME = "http";
export const PORT = 8080;

/** Selects every object of an installation. */
export function installationSelector(installation: string): string {
  return `${LABELS.managedBy}=${FIELD_MANAGER},${LABELS.installation}=${installation}`;
}

/** Selects every object of an agent. */
export function agentSelector(installation: string, agentId: string): string {
  return `${installationSelector(installation)},${LABELS.agent}=${agentId}`;
}

/** The labels of everything that belongs to a user. */
export function userLabels(installation: string, userId: string): Record<string, string> {
  return {
    [LABELS.managedBy]: FIELD_MANAGER,
    [LABELS.installation]: installation,
    [LABELS.user]: userId,
  };
}

/** The labels of everything that belongs to an agent. */
export function agentLabels(installation: string, userId: string, agentId: string): Record<string, string> {
  return {
    ...userLabels(installation, userId),
    [LABELS.name]: "agent",
    [LABELS.instance]: agentId,
    [LABELS.agent]: agentId,
  };
}

/**
 * Whose an object is: the user's whose namespace it is, or is in. Anybody can copy labels into a namespace of their own, but
 * not the name of a namespace.
 * @returns undefined where it is in no user's namespace
 */
export function userOf(prefix: string, { metadata }: { metadata: ObjectMeta }): string | undefined {
  const namespace = metadata.namespace ?? metadata.name;
  return namespace.startsWith(prefix) ? namespace.slice(prefix.length) : undefined;
}

/**
 * The namespace of a user.
 * @throws {Error} when prefix and id make no name that Kubernetes takes
 */
export function namespaceOf(prefix: string, userId: string): string {
  const name = `${prefix}${userId}`;
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    throw new Error(`"${name}" cannot be a namespace: at most 63 lower-case letters, digits and dashes.`);
  }
  return name;
}

/** The name of an agent's Service: unlike other names it must begin with a letter. */
export function serviceName(agentId: string): string {
  return /^[a-z]/.test(agentId) ? agentId : clip(`a-${agentId}`);
}

/** A name of at most 63 characters; one that is too long ends in a digest of the whole, so that none meet. */
export function clip(name: string, most = 63): string {
  if (name.length <= most) return name;
  const digest = createHash("sha256").update(name).digest("hex").slice(0, 8);
  return `${name.slice(0, most - 9)}-${digest}`;
}
