// What came of the latest answers, by the id of the answer: a message that is delivered again gets the same outcome, and what it
// did is not done twice.
import { isFinal } from "./engines/model/completion.ts";
import { AgentError } from "./errors.ts";

const MAX_KEPT = 200;
const MAX_CHARACTERS = 2_000_000;

/** Remembers outcomes of one runtime. */
export class Outcomes<T extends { readonly text: string }> {
  readonly #kept = new Map<string, { outcome: Promise<T>; characters: number }>();
  #characters = 0;

  /**
   * Makes an answer, or gives the one that was made or is being made under this id. A failure is kept only where a second
   * attempt would act again.
   */
  once(id: string, make: () => Promise<T>): Promise<T> {
    const known = this.#kept.get(id);
    if (known !== undefined) return known.outcome;
    const entry = { outcome: make(), characters: 0 };
    this.#kept.set(id, entry);
    entry.outcome.then(
      ({ text }) => {
        entry.characters = text.length;
        this.#characters += text.length;
        this.#forgetOldest();
      },
      (error: unknown) => {
        if (error instanceof AgentError && isFinal(error)) return this.#forgetOldest();
        this.#kept.delete(id);
      },
    );
    return entry.outcome;
  }

  #forgetOldest(): void {
    for (const [id, { characters }] of this.#kept) {
      if (this.#kept.size <= MAX_KEPT && this.#characters <= MAX_CHARACTERS) return;
      this.#kept.delete(id);
      this.#characters -= characters;
    }
  }
}
