// How far an agent's replicas are with what operators decided of them: the image. Pure.
import type { PlatformReport } from "../contract.ts";
import type { Situation } from "./decide.ts";
import { explain, findDelay, isHopeless } from "./hopeless.ts";

/**
 * What the rollout counts of the agent. Only what serves can prove that new replicas do not work: an agent that served nobody
 * before says nothing about them.
 * @returns undefined where operators decided nothing
 */
export function platformReport(
  { desired, limits, observed }: Pick<Situation, "desired" | "limits" | "observed">,
  now: number,
): PlatformReport | undefined {
  const id = desired.platform;
  const { workload } = observed;
  if (id === undefined) return undefined;
  const rests = workload?.paused || workload?.failure !== undefined || workload?.wanted === 0;
  if (workload?.platform === undefined || rests) return { id, state: "idle" };
  if (workload.platform !== id) {
    const { refusedPlatform, replicas } = workload;
    if (refusedPlatform?.id !== id) return { id, state: "updating" };
    if (!replicas.some(({ state }) => state === "ready")) return { id, state: "idle" };
    return { id, state: "stuck", problem: refusedPlatform.failure.message };
  }

  const active = workload.replicas.filter(({ state }) => state !== "ending");
  const members = active.filter(({ platform }) => platform === id);
  const old = active.filter(({ platform }) => platform !== id);
  const ready = members.filter(({ state }) => state === "ready").length;
  if (old.length === 0 && ready >= workload.wanted) return { id, state: "ready" };

  const hopeless = members.find((replica) => isHopeless(replica, limits));
  if (hopeless === undefined && now < workload.progressedAt + limits.readyMs)
    return { id, state: "updating" };
  if (old.some(({ state }) => state === "ready")) {
    const failure = hopeless === undefined ? findDelay({ ...observed, members }, limits) : explain(hopeless);
    return { id, state: "stuck", problem: failure?.message ?? "Its new replicas do not become ready." };
  }
  // All of it is new: that some replicas find no room is not what was changed.
  return { id, state: ready > 0 ? "ready" : "idle" };
}
