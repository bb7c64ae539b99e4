// Reads from a Gateway's status whether an agent is reachable from outside.

import type { Exposure } from "../../cluster.ts";
import type { KubeObject } from "../api.ts";
import { type Condition, conditionOf } from "./objects.ts";
import { sentence } from "./reasons.ts";

interface HTTPRoute extends KubeObject {
  spec?: { parentRefs?: ParentRef[] };
  status?: { parents?: { parentRef?: ParentRef; conditions?: Condition[] }[] };
}

interface ParentRef {
  namespace?: string;
  name?: string;
}

/**
 * What the Gateway says of the agent's way in. Pure.
 * @returns undefined where the agent has no HTTPRoute
 */
export function exposureOf(objects: readonly KubeObject[]): Exposure | undefined {
  const route = objects.find(
    ({ kind, metadata }) => kind === "HTTPRoute" && metadata.deletionTimestamp === undefined,
  ) as HTTPRoute | undefined;
  if (route === undefined) return undefined;
  const { namespace = "", name = "" } = route.spec?.parentRefs?.[0] ?? {};
  const gateway = `Gateway ${namespace}/${name}`;
  const parents = route.status?.parents ?? [];
  for (const type of ["Accepted", "ResolvedRefs"]) {
    const refusal = parents
      .map(({ conditions }) => conditionOf(conditions, type))
      .find((condition) => condition?.status === "False");
    if (refusal === undefined) continue;
    const head =
      type === "Accepted"
        ? `The ${gateway} does not take the agent's address`
        : `The ${gateway} does not find the agent's Service`;
    return {
      status: "False",
      reason: refusal.reason ?? "ROUTE_REFUSED",
      message: sentence(head, refusal.message ?? ""),
    };
  }
  if (parents.some(({ conditions }) => conditionOf(conditions, "Accepted")?.status === "True")) {
    return { status: "True", reason: "ROUTE_ACCEPTED", message: `The ${gateway} serves the agent's address` };
  }
  return {
    status: "Unknown",
    reason: "ROUTE_PENDING",
    message: `The ${gateway} has not said yet whether it serves the agent's address`,
  };
}
