// What the project said of callers, kept for a short while: one question at a time for each caller, and none that nobody
// asks any more. Times are of the monotonic clock: a machine's wrong date changes nothing here.
import type { AgentError } from "../errors.ts";

/** Who calls, or why they may not. */
export type Judgement =
  | { readonly caller: string }
  /** Told to the caller as it is. */
  | { readonly refusal: AgentError };

/** Younger than this, a judgement is used as it is; older, it is used while the project is asked again. */
export const FRESH_MS = 2_000;
/** Older than this, none is used, whatever the project does. */
export const STALE_MS = 5_000;

export interface JudgementLimits {
  /** Callers kept, good ones and refused ones apart: strangers cannot push others out. */
  readonly kept: number;
  /** Questions under way at once of callers who are not known: those let in lately are always asked for. */
  readonly underway: number;
}

const LIMITS: JudgementLimits = { kept: 1_000, underway: 32 };

interface Kept {
  readonly judgement: Judgement;
  /** When the question was asked: what the project changed since may not be in the answer. */
  readonly asked: number;
}

/** Too many questions of unknown callers are under way to ask another. */
export class Overrun extends Error {}

export class Judgements {
  readonly #limits: JudgementLimits;
  readonly #now: () => number;
  readonly #good = new Map<string, Kept>();
  readonly #refused = new Map<string, Kept>();
  readonly #underway = new Map<string, Promise<Judgement>>();
  #strangers = 0;

  constructor(limits: JudgementLimits = LIMITS, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Judgements kept, for tests of the bounds. */
  get size(): number {
    return this.#good.size + this.#refused.size;
  }

  /**
   * The judgement of a caller, at most {@link STALE_MS} old.
   * @param ask asks the project; it rejects where the project cannot say
   * @throws what `ask` rejects with, and Overrun
   */
  async judge(key: string, ask: () => Promise<Judgement>): Promise<Judgement> {
    const known = this.#find(key);
    const age = known === undefined ? Number.POSITIVE_INFINITY : this.#now() - known.asked;
    if (known !== undefined && age < FRESH_MS) return known.judgement;
    if (known !== undefined && age < STALE_MS) {
      this.#ask(key, ask).catch(() => undefined); // while the project is down, the last word holds until it is too old
      return known.judgement;
    }
    return await this.#ask(key, ask);
  }

  /**
   * As {@link judge}, and the project is waited for: what was revoked is noticed now.
   * @throws as judge, once what is known is too old
   */
  async again(key: string, ask: () => Promise<Judgement>): Promise<Judgement> {
    try {
      return await this.#ask(key, ask);
    } catch (error) {
      const known = this.#find(key);
      if (known !== undefined && this.#now() - known.asked < STALE_MS) return known.judgement;
      throw error;
    }
  }

  #find(key: string): Kept | undefined {
    return this.#good.get(key) ?? this.#refused.get(key);
  }

  #ask(key: string, ask: () => Promise<Judgement>): Promise<Judgement> {
    const already = this.#underway.get(key);
    if (already !== undefined) return already;
    // Strangers at any number must not keep those out who were let in, nor end their answers.
    const stranger = this.#good.has(key) ? 0 : 1;
    if (stranger === 1 && this.#strangers >= this.#limits.underway) return Promise.reject(new Overrun());
    this.#strangers += stranger;
    const asked = this.#now();
    const question = ask()
      .then((judgement) => {
        this.#keep(key, { judgement, asked });
        return judgement;
      })
      .finally(() => {
        this.#underway.delete(key);
        this.#strangers -= stranger;
      });
    this.#underway.set(key, question);
    return question;
  }

  #keep(key: string, kept: Kept): void {
    this.#good.delete(key);
    this.#refused.delete(key);
    const shelf = "caller" in kept.judgement ? this.#good : this.#refused;
    shelf.set(key, kept);
    if (shelf.size <= this.#limits.kept) return;
    const [oldest] = shelf.keys();
    if (oldest !== undefined) shelf.delete(oldest);
  }
}
