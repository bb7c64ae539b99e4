// Brings a rollout on: with each heartbeat it decides about the wave that the database tells of, and logs what became of it.
import type { Database, FleetState } from "../contract.ts";
import type { Log } from "../log.ts";
import { decideWave, rolloutText } from "./waves.ts";

export interface PacerOptions {
  database: Pick<Database, "advanceRollout">;
  log: Log;
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
    const { log } = this.#options;
    const key = rollout == null ? "" : [rollout.id, rollout.state, rollout.wave].join();
    if (key === this.#said) return;
    this.#said = key;
    if (rollout == null) log.info("the rollout is finished");
    else if (rollout.state === "halted") log.error(rolloutText(rollout));
    else if (rollout.state === "running") log.info(rolloutText(rollout));
    else log.warn(rolloutText(rollout));
  }
}
