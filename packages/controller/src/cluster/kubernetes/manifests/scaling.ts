// Builds an agent's autoscaler and disruption budget.

import type { V1PodDisruptionBudget, V2HorizontalPodAutoscaler } from "@kubernetes/client-node";
import { z } from "zod";
import type { KubeObject } from "../api.ts";
import type { AgentContext, Intent } from "./context.ts";
import type { Wire } from "./wire.ts";

const policySchema = z.object({
  min_replicas: z.number().int().nullish(),
  max_replicas: z.number().int().nullish(),
  target_cpu: z.number().int().nullish(),
});

const TARGET_CPU = 80;

export interface Scaling {
  min: number;
  max: number;
  targetCpu: number;
}

/**
 * What an autoscaler has to do; undefined where the number is fixed: without a policy, with one that leaves no choice,
 * or scaled to nothing.
 */
export function scalingOf(workload: Intent): Scaling | undefined {
  const policy = policySchema.safeParse(workload.spec.scalingPolicy);
  if (!policy.success || workload.replicas === 0) return undefined;
  const { min_replicas, max_replicas, target_cpu } = policy.data;
  const most = workload.quota === null ? 100 : Math.max(1, workload.quota.maxReplicas);
  // An autoscaler cannot scale to nothing.
  const min = Math.max(1, min_replicas ?? 1);
  const max = Math.min(max_replicas ?? Math.max(min, workload.replicas), most);
  return max <= min ? undefined : { min, max, targetCpu: target_cpu ?? TARGET_CPU };
}

export function autoscaler(context: AgentContext, scaling: Scaling): KubeObject {
  const { agentId } = context.workload;
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: context.meta(agentId),
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: agentId },
      minReplicas: scaling.min,
      maxReplicas: scaling.max,
      metrics: [
        {
          type: "Resource",
          resource: { name: "cpu", target: { type: "Utilization", averageUtilization: scaling.targetCpu } },
        },
      ],
    },
  } satisfies Wire<V2HorizontalPodAutoscaler>;
}

/** Nodes may be emptied, one replica at a time; one that does not work never stands in the way. */
export function disruptionBudget(context: AgentContext): KubeObject {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: context.meta(context.workload.agentId),
    spec: {
      maxUnavailable: 1,
      selector: { matchLabels: context.selector },
      unhealthyPodEvictionPolicy: "AlwaysAllow",
    },
  } satisfies Wire<V1PodDisruptionBudget>;
}
