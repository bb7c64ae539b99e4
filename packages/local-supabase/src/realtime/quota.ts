// How many changes of tables each owner listens to.
import type { Limits } from "./limits.ts";
import { type Owner, SERVICE } from "./owners.ts";

/** `scanned`: those that every change of the table must look at, because no index finds them. */
export interface Listening {
  all: number;
  scanned: number;
}

/** Counts the entries of `postgres_changes` by owner. */
export class ChangeQuota {
  readonly #limits: Pick<Limits, "changesPerUser" | "scannedChangesPerUser">;
  readonly #counts = new Map<Owner, Listening>();

  constructor(limits: Pick<Limits, "changesPerUser" | "scannedChangesPerUser">) {
    this.#limits = limits;
  }

  /** Counts entries to an owner; otherwise says why not, and nothing is counted. */
  take(owner: Owner, wanted: Listening): string | undefined {
    if (owner === SERVICE) return undefined;
    const { changesPerUser, scannedChangesPerUser } = this.#limits;
    const held = this.#counts.get(owner) ?? { all: 0, scanned: 0 };
    const [all, scanned] = [held.all + wanted.all, held.scanned + wanted.scanned];
    if (all > changesPerUser)
      return `Too many subscriptions to changes: at most ${changesPerUser} per user. Leave a channel first`;
    if (scanned > scannedChangesPerUser) {
      return `Too many subscriptions to changes without an eq filter: at most ${scannedChangesPerUser} per user. Filter by eq, or leave a channel first`;
    }
    this.#counts.set(owner, { all, scanned });
    return undefined;
  }

  release(owner: Owner, listening: Listening): void {
    const held = this.#counts.get(owner);
    if (!held) return;
    const all = held.all - listening.all;
    if (all > 0) this.#counts.set(owner, { all, scanned: held.scanned - listening.scanned });
    else this.#counts.delete(owner);
  }
}
