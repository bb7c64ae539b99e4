// Whether this controller may change and remove things: compares the database with the installation, obeys operators.
import type { Clock } from "../clock.ts";
import type { FleetNote } from "../cluster/cluster.ts";
import type { FleetState, Rollout } from "../contract.ts";
import type { Log } from "../log.ts";
import { brakeLimit, type RemovalKind } from "./brake.ts";
import { rolloutText } from "./waves.ts";

export interface FleetGuardOptions {
  clock: Clock;
  log: Log;
  /** What operators of the cluster are to see. */
  note?(note: FleetNote): void;
}

/** How many things of the installation carry which database's id. */
export type Marks = () => ReadonlyMap<string, number>;

/** Removals that the brake stopped. */
export interface Stopped {
  count: number;
  total: number;
  /** A few of them, for people. */
  examples: readonly string[];
}

const EXAMPLES = 5;

/**
 * One per controller. Nothing is claimed, changed or removed while the installation belongs to another database; nothing is
 * removed while operators hold removals, or when more would go at once than the brake allows. What is wanted stands in
 * the database and comes with each heartbeat and before each removal.
 */
export class FleetGuard {
  readonly #options: FleetGuardOptions;
  readonly #stopped = new Map<RemovalKind, Stopped>();
  #marks: Marks = () => new Map();
  #state: FleetState | undefined;
  #releasedUntil = 0;
  /** The database under which this process has begun to work. */
  #confirmed: string | undefined;
  #said: string | undefined;

  constructor(options: FleetGuardOptions) {
    this.#options = options;
  }

  /** Says where the marks of the installation are read. */
  compareWith(marks: Marks): void {
    this.#marks = marks;
  }

  /** Takes what the database says of itself and of operators' wishes. */
  learn(state: FleetState): void {
    const { clock, log } = this.#options;
    const held = this.#state?.hold ?? null;
    this.#state = state;
    this.#releasedUntil = state.release === null ? 0 : clock.now() + state.release.seconds * 1000;
    if (state.hold !== held) {
      const reason = state.holdReason ?? undefined;
      if (state.hold === null) log.warn("operators ended the hold");
      else log.warn("operators hold the controllers", { hold: state.hold, reason });
      this.#noteHold(state);
    }
    const { trouble } = this;
    if (trouble === undefined) this.#confirmed = state.installation;
    if (trouble !== this.#said && trouble !== undefined) {
      log.error(trouble);
      this.#options.note?.({ type: "Warning", reason: "ForeignDatabase", action: "Claim", text: trouble });
    }
    if (trouble === undefined && this.#said !== undefined)
      log.info("the database is the installation's again");
    this.#said = trouble;
  }

  /** @throws {Error} before the database has answered once: nothing may be made without its mark */
  get databaseId(): string {
    if (this.#state === undefined) throw new Error("The database has not said yet which one it is.");
    return this.#state.installation;
  }

  /** Whether it is the database that was compared. */
  isAnswering(installation: string): boolean {
    return installation === this.#state?.installation;
  }

  /** Whether a mark is this database's, or of one that it took over. */
  isOurs(mark: string | undefined): boolean {
    const { installation, adopted = [] } = this.#state ?? {};
    return mark !== undefined && (mark === installation || adopted.includes(mark));
  }

  /** How many things carry another database's mark, by that mark. */
  get foreign(): ReadonlyMap<string, number> {
    return new Map([...this.#marks()].filter(([mark]) => !this.isOurs(mark)));
  }

  /** In a sentence with the cure, why the database is not the installation's; undefined while it is. */
  get trouble(): string | undefined {
    if (this.#state === undefined) return undefined;
    const { installation } = this.#state;
    const marks = this.#marks();
    const { foreign } = this;
    const swapped = this.#confirmed !== undefined && !this.isOurs(this.#confirmed);
    // Single foreign things are left alone and counted: anybody who may label a namespace could make one.
    const all = foreign.size > 0 && foreign.size === marks.size;
    if (!swapped && !all) return undefined;
    const [other] = swapped ? [this.#confirmed] : [...foreign.keys()];
    const count = foreign.get(other ?? "") ?? 0;
    return (
      `This installation belongs to the database ${other}${count > 1 ? ` (${count} namespaces)` : ""}, but ` +
      `LAUNCHPAD_SUPABASE_URL leads to the database ${installation}. Nothing is claimed, changed or removed. ` +
      `Correct the address, or, if ${installation} shall take the installation over, run: launchpad fleet adopt ${other}`
    );
  }

  /** Whether anything may be changed. */
  get mayChange(): boolean {
    return this.#state !== undefined && this.#state.hold !== "everything" && this.trouble === undefined;
  }

  /** Whether anything may be removed because the database does not know it. */
  get mayRemove(): boolean {
    return this.mayChange && this.#state?.hold === null;
  }

  /** What of all agents' pods is being changed; undefined when nothing is. */
  get rollout(): Rollout | undefined {
    return this.#state?.rollout ?? undefined;
  }

  /** What people should know of the fleet, in sentences, though the controller works as it should. */
  get notes(): string[] {
    const { holdReason = null } = this.#state ?? {};
    const why = holdReason === null ? "" : ` (${holdReason})`;
    return [
      ...(this.hold === "everything"
        ? [`Read-only: operators hold every change${why}. End it with \`launchpad fleet release\`.`]
        : []),
      ...(this.hold === "removals"
        ? [`Operators hold removals${why}. End it with \`launchpad fleet release\`.`]
        : []),
      ...(this.rollout === undefined ? [] : [rolloutText(this.rollout)]),
    ];
  }

  get hold(): FleetState["hold"] {
    return this.#state?.hold ?? null;
  }

  /**
   * Whether all of these may go now. If not, none may; a person confirms with `launchpad fleet release`.
   * @param names of what would go
   * @param total how many of the kind there are
   */
  judge(kind: RemovalKind, names: readonly string[], total: number): boolean {
    const { clock, log } = this.#options;
    const released =
      clock.now() < this.#releasedUntil ? (this.#state?.release?.removals ?? undefined) : undefined;
    const limit = brakeLimit(total, released);
    if (names.length <= limit) {
      if (this.#stopped.delete(kind)) log.info("the brake is released", { kind });
      return this.mayRemove;
    }
    const before = this.#stopped.get(kind)?.count;
    const examples = names.slice(0, EXAMPLES);
    this.#stopped.set(kind, { count: names.length, total, examples });
    if (before !== names.length) {
      const text =
        `The database does not know ${names.length} of ${total} ${kind}: more than ${limit} at once are not removed. Check ` +
        "that it is the right one and complete; if they shall go, run: launchpad fleet release";
      log.error(text, { kind, examples });
      this.#options.note?.({ type: "Warning", reason: "RemovalsStopped", action: "Remove", text });
    }
    return false;
  }

  #noteHold({ hold, holdReason }: FleetState): void {
    const why = holdReason ? `: ${holdReason}` : "";
    const text =
      hold === null
        ? "Operators released the controllers"
        : `Operators hold ${hold === "everything" ? "every change" : "removals"}${why}. End it with: launchpad fleet release`;
    const reason = hold === null ? "Released" : "Held";
    this.#options.note?.({ type: hold === null ? "Normal" : "Warning", reason, action: "Hold", text });
  }

  /** What the brake stopped, by kind. */
  get stopped(): ReadonlyMap<RemovalKind, Stopped> {
    return this.#stopped;
  }

  /** What the heartbeat tells operators. */
  report(): Record<string, unknown> {
    const { trouble } = this;
    return {
      ...(trouble === undefined ? {} : { trouble }),
      ...(this.foreign.size === 0 ? {} : { foreign: Object.fromEntries(this.foreign) }),
      ...(this.#stopped.size === 0 ? {} : { stopped: Object.fromEntries(this.#stopped) }),
    };
  }
}
