// Brings a rollout on: with each heartbeat it decides about the wave that the database tells of, and logs what became of it.
import type { FleetNote } from "../cluster/cluster.ts";
import type { Database, FleetState } from "../contract.ts";
import type { Log } from "../log.ts";
import { decideWave, rolloutText } from "./waves.ts";

export interface PacerOptions {
  database: Pick<Database, "advanceRollout">;
  log: Log;
  /** Told what people should see in the cluster too. */
  note?(note: FleetNote): void;
}

/** One per controller. Several may decide at once: the database takes the first decision about each wave. */
export class Pacer {
  readonly #options: PacerOptions;
  #said = "";

  constructor(options: PacerOptions) {
    this.#options = options;
  }

  /**
   * Looks at the rollout once.
   * @returns what operators want then, where something was decided
   * @throws {DatabaseError} the next heartbeat tries again
   */
  async look(fleet: FleetState): Promise<FleetState | undefined> {
    const { rollout } = fleet;
    this.#log(fleet);
    if (rollout == null) return undefined;
    const decision = decideWave(rollout);
    if (decision.do === "wait") return undefined;
    const reason = "reason" in decision ? decision.reason : undefined;
    const after = await this.#options.database.advanceRollout(rollout.id, rollout.wave, decision.do, reason);
    this.#log(after);
    return after;
  }

  #log({ rollout }: FleetState): void {
    const { log, note } = this.#options;
    const key = rollout == null ? "" : [rollout.id, rollout.state, rollout.wave].join();
    if (key === this.#said) return;
    this.#said = key;
    const text = rollout == null ? "The rollout is finished." : rolloutText(rollout);
    const state = rollout?.state ?? "finished";
    if (state === "halted") log.error(text);
    else if (state === "running" || state === "finished") log.info(text);
    else log.warn(text);
    note?.({
      type: state === "halted" ? "Warning" : "Normal",
      reason: `Rollout${state.charAt(0).toUpperCase()}${state.slice(1)}`,
      action: "RollOut",
      text,
    });
  }
}
