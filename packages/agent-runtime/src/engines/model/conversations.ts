// What was said, kept in this process's memory: a restart or another replica begins again. Bounded in every direction,
// oldest first, so that no caller can grow the process.
import type { Turn } from "../engine.ts";

export interface ConversationLimits {
  /** Turns kept of one conversation. */
  readonly turns: number;
  /** Characters kept of one conversation. */
  readonly characters: number;
  /** Conversations kept; the longest unused goes first. */
  readonly conversations: number;
  /** Characters kept in all. */
  readonly totalCharacters: number;
}

export const DEFAULT_LIMITS: ConversationLimits = {
  turns: 40,
  characters: 64_000,
  conversations: 1_000,
  totalCharacters: 4_000_000,
};

interface Conversation {
  turns: Turn[];
  characters: number;
}

/** Remembers conversations within limits. */
export class Conversations {
  readonly #limits: ConversationLimits;
  /** In order of last use. */
  readonly #kept = new Map<string, Conversation>();
  #characters = 0;

  constructor(limits: ConversationLimits = DEFAULT_LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#kept.size;
  }

  get characters(): number {
    return this.#characters;
  }

  /** The turns said so far, oldest first. */
  history(id: string): readonly Turn[] {
    return this.#kept.get(id)?.turns ?? [];
  }

  /** Adds turns and forgets the oldest beyond the limits. A history always begins with the user's turn. */
  add(id: string, ...added: Turn[]): void {
    const before = this.#kept.get(id);
    this.#forget(id);
    const turns = [...(before?.turns ?? []), ...added];
    let characters = turns.reduce((sum, turn) => sum + turn.content.length, 0);
    while (turns.length > 0) {
      const tooMuch = turns.length > this.#limits.turns || characters > this.#limits.characters;
      if (!tooMuch && turns[0]?.role === "user") break;
      characters -= turns.shift()?.content.length ?? 0;
    }
    if (turns.length === 0) return;
    this.#kept.set(id, { turns, characters });
    this.#characters += characters;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#limits.conversations && this.#characters <= this.#limits.totalCharacters)
        break;
      this.#forget(oldest);
    }
  }

  #forget(id: string): void {
    this.#characters -= this.#kept.get(id)?.characters ?? 0;
    this.#kept.delete(id);
  }
}
