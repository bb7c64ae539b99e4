// Whether a rollout gets its next wave, stops or is over. Pure; who is in a wave is the database's to choose.
import type { Rollout } from "../contract.ts";

export type WaveDecision =
  | { do: "wait" }
  | { do: "admit" | "finish" }
  /** Stopped for good, until a person says how to go on. */
  | { do: "halt"; reason: string }
  /** The canaries hold; a person wants to look before the rest follows. */
  | { do: "pause"; reason: string };

/** An agent that says nothing for so long counts as failed: its namespace hangs, or nobody holds it. */
export const LATE_SECONDS = 1800;

/**
 * The next wave comes when every agent of those before it is ready and has been for a while. Agents that serve nobody for reasons
 * of their own prove nothing and hold nothing up. More failures than allowed stop it; old replicas serve on.
 */
export function decideWave(rollout: Rollout): WaveDecision {
  if (rollout.state !== "running") return { do: "wait" };
  const { failed, updating, maxFailures, soakSeconds, quietSeconds, waiting, waveSeconds } = rollout;
  const late = updating > 0 && waveSeconds >= LATE_SECONDS ? updating : 0;
  if (failed + late > maxFailures) return { do: "halt", reason: explain(rollout, late) };
  if (updating > late) return { do: "wait" };
  if (waiting > 0 && rollout.wave === 0) return { do: "admit" };
  if (rollout.wave > 0 && quietSeconds < soakSeconds) return { do: "wait" };
  if (waiting === 0) return { do: "finish" };
  if (rollout.canaryPauses) {
    return { do: "pause", reason: "The agents of the canary users are ready; resume to update the others." };
  }
  return { do: "admit" };
}

/** Kept for good with the fleet's actions: so nothing in it is what an agent said. */
function explain({ examples, failed, total, waiting }: Rollout, late: number): string {
  const updated = total - waiting;
  const what =
    late > 0 && failed === 0
      ? `${late} of ${updated} agents have not been updated within ${LATE_SECONDS / 60} min`
      : `${failed + late} of ${updated} agents did not become ready; their old replicas serve on`;
  return `${what}${examples.length === 0 ? "" : ` (${examples.join(", ")})`}.`;
}

/** The rollout in one sentence, for logs and `/readyz`. */
export function rolloutText(rollout: Rollout): string {
  const { failed, idle, image, problem, ready, reason, state, total, updating, wave } = rollout;
  const counts = `${ready} of ${total} agents are ready, ${updating} updating, ${failed} failed, ${idle} not serving`;
  const cure = {
    running: "",
    paused: " Go on with `launchpad fleet rollout resume`.",
    halted: " Set agents.image to a working image, or run `launchpad fleet rollout undo`.",
    undone:
      " Agents keep the image before it until agents.image changes or you run `launchpad fleet rollout resume`.",
  }[state];
  const why = [reason, problem].filter((part) => part != null).map((part) => ` ${part}`);
  return `The rollout of ${image} is ${state} in wave ${wave}: ${counts}.${why.join("")}${cure}`;
}
