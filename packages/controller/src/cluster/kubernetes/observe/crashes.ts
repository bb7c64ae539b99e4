// Counts a container's crashes in a row from what its pod reports.

import { CONTAINER } from "../names.ts";
import { conditionOf, containerOf, type Pod, type Terminated, timeOf } from "./objects.ts";

/** Ready for this long: the next exit counts as the first again. */
export const STABLE_MS = 10_000;

/** A life of unknown readiness that lasted this long counts as stable. */
const LONG_LIFE_MS = 60_000;

/** How often the agent's container of the pod has ended so far. */
export function exitsOf(pod: Pod): number {
  const status = containerOf(pod, CONTAINER);
  const restarts = status?.restartCount ?? 0;
  // While it waits after an end, the number does not count that end yet.
  const ended =
    status?.state?.terminated !== undefined ||
    (status?.state?.waiting !== undefined && status.lastState?.terminated !== undefined);
  return ended ? restarts + 1 : restarts;
}

/** How the container ended last, whether or not it runs again. */
export function lastEnd(pod: Pod): Terminated | undefined {
  const status = containerOf(pod, CONTAINER);
  return status?.state?.terminated ?? status?.lastState?.terminated;
}

/** Since when the pod is ready, in milliseconds; undefined while it is not. */
export function readySince(pod: Pod): number | undefined {
  const ready = conditionOf(pod.status?.conditions, "Ready");
  return ready?.status === "True" ? (timeOf(ready.lastTransitionTime) ?? 0) : undefined;
}

/**
 * How often it ended in a row since it last was stable. The API counts restarts since the pod was made; where it was
 * last stable is remembered by {@link CrashMemory}, or else concluded from how long the node waits before the next start.
 * @param stable ends before it was last stable, where that was seen
 */
export function failuresOf(pod: Pod, stable: number | undefined, now: number): number {
  const exits = exitsOf(pod);
  if (exits === 0) return 0;
  const since = readySince(pod);
  if (since !== undefined && now - since >= STABLE_MS) return 0;
  if (stable !== undefined) return Math.max(0, exits - stable);
  const end = lastEnd(pod);
  const [began, ended] = [timeOf(end?.startedAt), timeOf(end?.finishedAt)];
  if (began !== undefined && ended !== undefined && ended - began >= LONG_LIFE_MS) return 1;
  const message = containerOf(pod, CONTAINER)?.state?.waiting?.message ?? "";
  return Math.min(exits, failuresByBackoff(message) ?? exits);
}

/**
 * The node starts it again at once after the first end, and waits 10 s after the second, twice as long after each more,
 * at most five minutes; it says so: "back-off 40s restarting failed container".
 */
function failuresByBackoff(message: string): number | undefined {
  const match = /back-off (?:(\d+)m)?(?:(\d+)s)? restarting/.exec(message);
  if (match === null) return undefined;
  const seconds = Number(match[1] ?? 0) * 60 + Number(match[2] ?? 0);
  if (seconds < 10) return undefined;
  return Math.round(Math.log2(seconds / 10)) + 2;
}

/** Remembers, by the pods' uid, how often they had ended when they last were stable. */
export class CrashMemory {
  readonly #stable = new Map<string, number>();

  get stable(): ReadonlyMap<string, number> {
    return this.#stable;
  }

  /** Compares two states of a pod: a life that was ready for long enough before it ended was stable. */
  see(before: Pod | undefined, after: Pod | undefined): void {
    const uid = before?.metadata.uid ?? after?.metadata.uid;
    if (uid === undefined || before === undefined) return;
    if (after === undefined || after.metadata.uid !== uid) {
      this.#stable.delete(uid);
      return;
    }
    const since = readySince(before);
    const ended = timeOf(lastEnd(after)?.finishedAt);
    if (since === undefined || ended === undefined || exitsOf(after) <= exitsOf(before)) return;
    if (ended - since >= STABLE_MS) this.#stable.set(uid, exitsOf(before));
  }
}
