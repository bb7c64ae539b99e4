// The command `launchpad scale`.

import { agentIdOf } from "../agent-id.ts";
import type { Context } from "../context.ts";
import type { Outcome } from "../exit-codes.ts";
import { counted } from "../output/figures.ts";
import type { WaitOptions } from "../wait-for-agent.ts";
import { finish } from "./change.ts";

interface Options extends WaitOptions {
  min?: number;
  max?: number;
  targetCpu?: number;
}

/** `launchpad scale` */
export async function run(
  context: Context,
  [agent, replicas]: readonly string[],
  options: Options,
): Promise<Outcome> {
  const agentId = await agentIdOf(context, agent);
  const { client } = await context.session();
  const policy = scalingPolicy(options);
  const scaled = await client.agents.scale(
    agentId,
    { replicas: Number(replicas), ...(policy ? { scaling_policy: policy } : {}) },
    { signal: context.signal },
  );
  const message = `${scaled.currentReplicas} → ${counted(scaled.targetReplicas, "replica")}`;
  const outcome = await finish(context, { ...scaled, message }, options);
  if (scaled.status === "STOPPED" || scaled.status === "STOPPING")
    context.out.note(
      `It is stopped, and runs no replica before it is started: \`launchpad start ${agentId}\`.`,
    );
  return outcome;
}

/** The policy that the flags describe; undefined where none is given, so that the present one stays. Pure. */
export function scalingPolicy({ min, max, targetCpu }: Options): Record<string, number> | undefined {
  const policy = {
    ...(min === undefined ? {} : { min_replicas: min }),
    ...(max === undefined ? {} : { max_replicas: max }),
    ...(targetCpu === undefined ? {} : { target_cpu: targetCpu }),
  };
  return Object.keys(policy).length > 0 ? policy : undefined;
}
