// What in a user's namespace somebody else put there. Pure. A namespace that holds any of it is never deleted.
import type { KubeObject } from "./api.ts";
import { FIELD_MANAGER, LABELS } from "./names.ts";

/** Found in a namespace: of any kind, also of kinds that the controller does not know. */
export interface Content {
  /** Plural with the group where there is one: `pods`, `deployments.apps`. */
  resource: string;
  metadata: KubeObject["metadata"];
}

/** What the cluster itself puts into each namespace, or writes about what is in it. */
const OF_THE_CLUSTER: Readonly<Record<string, RegExp>> = {
  configmaps: /^(kube-root-ca\.crt|openshift-service-ca\.crt)$/,
  serviceaccounts: /^(default|builder|deployer|pipeline)$/,
  secrets: /^(default|builder|deployer)-(token|dockercfg)-/,
  "rolebindings.rbac.authorization.k8s.io": /^(system:(image-pullers|image-builders|deployers))$/,
  "rolebindings.authorization.openshift.io": /^(system:(image-pullers|image-builders|deployers))$/,
};
/** Never somebody's work: figures, and notes of what happened. */
const NOTES = new Set(["events", "events.events.k8s.io", "pods.metrics.k8s.io"]);

/**
 * The objects that are neither the installation's nor the cluster's own, as `resource/name`.
 * @param contents all of a namespace
 */
export function foreignObjects(contents: readonly Content[], installation: string): string[] {
  const uids = new Set(contents.map(({ metadata }) => metadata.uid));
  const isOwned = ({ metadata }: Content) =>
    metadata.ownerReferences?.some(({ uid }) => uids.has(uid)) === true;
  return contents
    .filter((content) => {
      const { resource, metadata } = content;
      if (NOTES.has(resource) || OF_THE_CLUSTER[resource]?.test(metadata.name) === true) return false;
      const { [LABELS.managedBy]: manager, [LABELS.installation]: mark } = metadata.labels ?? {};
      if (manager === FIELD_MANAGER && mark === installation) return false;
      // What an object brings along goes with it: if that one is foreign, it is named itself.
      if (isOwned(content)) return false;
      // Made for a Service, and named after it.
      return !(resource === "endpoints" && contents.some((one) => isServiceOf(one, metadata.name)));
    })
    .map(({ resource, metadata }) => `${resource}/${metadata.name}`);
}

function isServiceOf({ resource, metadata }: Content, name: string): boolean {
  return resource === "services" && metadata.name === name;
}
