// Secrets that a program writes over two lines or more.

/** Lines shorter than this are not looked at as the rest of a secret: single letters begin many. */
const SHORTEST_REST = 4;

/**
 * Finds secrets that begin at the end of one line and go on in the next. The first part is written by then; the rest is
 * masked, so that no reader has the whole.
 */
export class SplitSecrets {
  readonly #spellings: readonly string[];
  readonly #longest: number;
  readonly #mask: string;
  #before = "";

  constructor(spellings: readonly string[], mask: string) {
    this.#spellings = spellings;
    this.#longest = Math.max(0, ...spellings.map(({ length }) => length));
    this.#mask = mask;
  }

  /** The next line, without the rest of a secret that the lines before began. */
  next(line: string): string {
    if (this.#longest === 0) return line;
    const before = this.#before;
    this.#before = (before + line).slice(-this.#longest);
    const head = line.slice(0, Math.min(SHORTEST_REST, line.length));
    if (before === "" || head.length < SHORTEST_REST) return line;
    for (const form of this.#spellings) {
      for (let at = form.indexOf(head, 1); at > 0; at = form.indexOf(head, at + 1)) {
        const rest = form.slice(at, at + line.length);
        if (line.startsWith(rest) && before.endsWith(form.slice(0, at)))
          return this.#mask + line.slice(rest.length);
      }
    }
    return line;
  }
}
