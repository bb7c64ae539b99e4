// Builds every Kubernetes object of an agent, in the order of creation.

import type { Quota } from "../../../contract.ts";
import type { Workload } from "../../cluster.ts";
import { handedOn } from "../../processes/environment.ts";
import { probeKeyOf } from "../../runtime.ts";
import type { KubeObject } from "../api.ts";
import type { ManifestOptions } from "../options.ts";
import { contextOf, type Intent } from "./context.ts";
import { deployment } from "./deployment.ts";
import { signed } from "./form.ts";
import { type NamespaceManifests, namespaceManifests } from "./namespace.ts";
import { outside, service, startingParts } from "./parts.ts";
import { pluginSecret } from "./plugin-set.ts";
import { autoscaler, disruptionBudget, scalingOf } from "./scaling.ts";

/** Every object of an agent, in the order in which they are made: nothing runs with a part missing. */
export interface WorkloadManifests {
  user: NamespaceManifests;
  /** The first of an agent that is made and the last that goes: while it is there, more may be. */
  anchor: KubeObject;
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
 * @param workload without an environment the Secret holds nothing: for comparisons alone
 * @param quota what bounds the user's namespace, where it is not the workload's
 * @throws {Error} when nobody is known whose agent it is
 */
export function workloadManifests(
  workload: Intent & Partial<Pick<Workload, "environment">>,
  options: ManifestOptions,
  quota: Quota | null = workload.quota,
): WorkloadManifests {
  const context = contextOf(workload, options);
  const scaling = scalingOf(workload);
  const replicas =
    scaling === undefined
      ? workload.replicas
      : Math.min(scaling.max, Math.max(scaling.min, workload.replicas));
  const environment = {
    ...handedOn(options.providerEnvironment, workload.environment ?? {}),
    AGENT_PROBE_KEY: probeKeyOf(options.project.probeSecret, workload.agentId),
    ...pluginSecret(workload, options),
  };
  return {
    user: namespaceManifests(workload.userId ?? "", quota, options, workload.class),
    before: startingParts(context, environment),
    anchor: service(context),
    beside: [...outside(context), disruptionBudget(context)],
    deployment: signed(deployment(context, replicas), context),
    after: scaling === undefined ? [] : [autoscaler(context, scaling)],
    autoscaled: scaling !== undefined,
  };
}
