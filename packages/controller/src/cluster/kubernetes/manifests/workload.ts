import type { Workload } from "../../cluster.ts";
import { handedOn } from "../../processes/environment.ts";
import type { KubeObject } from "../api.ts";
import type { ManifestOptions } from "../options.ts";
import { contextOf, type Intent } from "./context.ts";
import { deployment } from "./deployment.ts";
import { type NamespaceManifests, namespaceManifests } from "./namespace.ts";
import { routes, startingParts } from "./parts.ts";
import { autoscaler, disruptionBudget, scalingOf } from "./scaling.ts";

/** Every object of an agent, in the order in which they are made: nothing runs with a part missing. */
export interface WorkloadManifests {
  user: NamespaceManifests;
  /** Before the pods: identity, secrets, configuration. Immutable ones are made once. */
  before: KubeObject[];
  /** Whatever may come at any time before the pods serve. */
  beside: KubeObject[];
  deployment: KubeObject;
  after: KubeObject[];
  /** The autoscaler owns the number of replicas. */
  autoscaled: boolean;
}

/**
 * What should exist for a workload. Pure.
 * @param environment undefined: the Secret holds nothing, for comparisons alone
 * @throws {Error} when nobody is known whose agent it is
 */
export function workloadManifests(
  workload: Intent & Partial<Pick<Workload, "environment">>,
  options: ManifestOptions,
): WorkloadManifests {
  const context = contextOf(workload, options);
  const scaling = scalingOf(workload);
  const environment = handedOn(options.providerEnvironment, workload.environment ?? {});
  return {
    user: namespaceManifests(workload.userId ?? "", workload.quota, options),
    before: startingParts(context, environment),
    beside: [...routes(context), disruptionBudget(context)],
    deployment: deployment(
      context,
      scaling === undefined
        ? workload.replicas
        : Math.min(scaling.max, Math.max(scaling.min, workload.replicas)),
    ),
    after: scaling === undefined ? [] : [autoscaler(context, scaling)],
    autoscaled: scaling !== undefined,
  };
}
