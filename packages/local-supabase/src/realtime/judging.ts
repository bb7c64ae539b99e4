// Filters that only the database can judge (patterns, collations, types of extensions), on rows that their owner sees.
import type pg from "pg";
import { askEach } from "./ask.ts";
import type { Limits } from "./limits.ts";
import type { Owner } from "./owners.ts";
import type { ChangeTarget } from "./registry.ts";

/** What one owner's filters ask of one batch of changes. */
export interface Questions {
  owner: Owner;
  /** The channels that wait for the answers. */
  targets: Set<ChangeTarget>;
  asked: { sql: string; fails: () => void }[];
}

/** How long a strike counts. */
const MEMORY_MS = 60_000;
/** Owners with a strike share this with each other; the others are always judged. */
const SHARED_TURNS = 4;

/**
 * Judges each owner's filters in a statement of its own, with a limit of its own, so that a costly filter delays others by
 * no more than that limit. An owner over the limit misses the changes of this batch and gets a system message; after several
 * times the channels close. What took too long is not asked again.
 */
export class Judge {
  readonly #pool: pg.Pool;
  readonly #limits: Pick<Limits, "judgingMs" | "judgingStrikes">;
  readonly #now: () => number;
  readonly #strikes = new Map<Owner, { count: number; until: number }>();

  /** Takes a pool whose statements end after `judgingMs`. */
  constructor(
    pool: pg.Pool,
    limits: Pick<Limits, "judgingMs" | "judgingStrikes">,
    now: () => number = Date.now,
  ) {
    this.#pool = pool;
    this.#limits = limits;
    this.#now = now;
  }

  /** Calls `fails` of every question that is not answered by true. Throws when the database is not reachable. */
  async judge(all: readonly Questions[]): Promise<void> {
    const isSuspect = ({ owner }: Questions) => this.#strikesOf(owner) > 0;
    const ordered = [...all.filter((each) => !isSuspect(each)), ...all.filter(isSuspect)];
    let left = SHARED_TURNS * this.#limits.judgingMs;
    for (const questions of ordered) {
      const suspect = isSuspect(questions);
      if (suspect && left <= 0) {
        this.#miss(questions);
        continue;
      }
      const begun = performance.now();
      const answers = await askEach(
        this.#pool,
        questions.asked.map(({ sql }) => sql),
        "boolean",
        this.#limits.judgingMs,
      );
      if (suspect) left -= performance.now() - begun;
      if (answers === "late") this.#strike(questions);
      else {
        for (const [i, { fails }] of questions.asked.entries()) if (answers[i] !== true) fails();
      }
    }
  }

  #strikesOf(owner: Owner): number {
    const strikes = this.#strikes.get(owner);
    if (strikes && strikes.until < this.#now()) this.#strikes.delete(owner);
    return this.#strikes.get(owner)?.count ?? 0;
  }

  #strike(questions: Questions): void {
    const count = this.#strikesOf(questions.owner) + 1;
    this.#strikes.set(questions.owner, { count, until: this.#now() + MEMORY_MS });
    this.#miss(questions);
    if (count < this.#limits.judgingStrikes) return;
    for (const target of questions.targets) target.end("The filters of this channel take too long to judge");
  }

  #miss({ asked, targets }: Questions): void {
    for (const { fails } of asked) fails();
    for (const target of targets)
      target.warn(
        "A change was left out: its filters take too long to judge. Use simpler filters and read again",
      );
  }
}
