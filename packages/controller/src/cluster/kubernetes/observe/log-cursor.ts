/**
 * Where the reading of a replica's log has come to. Each line gets a number made of the time the node wrote beside it, in
 * microseconds, and always larger than the one before: whoever reads the same lines again, also another controller,
 * numbers them the same, and what was told already is known by its number.
 */
export class LogCursor {
  #told: number;
  /** The number given last in this reading. */
  #last = 0;

  /** @param told what was told already: this number and all before */
  constructor(told = 0) {
    this.#told = told;
  }

  /** The number told last; 0 before the first. */
  get told(): number {
    return this.#told;
  }

  /** All up to this number was told elsewhere. */
  skip(told: number): void {
    this.#told = Math.max(this.#told, told);
  }

  /** Begins to read, from {@link since} or earlier. */
  begin(): void {
    this.#last = 0;
  }

  /**
   * The number of the next line.
   * @param timestamp as the node writes it: 2030-01-01T00:00:00.123456789Z
   * @returns undefined when the line was told before, or has no such time
   */
  next(timestamp: string): number | undefined {
    const time = microseconds(timestamp);
    if (time === undefined) return undefined;
    this.#last = Math.max(time, this.#last + 1);
    if (this.#last <= this.#told) return undefined;
    this.#told = this.#last;
    return this.#last;
  }

  /**
   * From when to read on: the API knows only whole seconds. A second more than needed, so that lines of one microsecond
   * are numbered as before.
   */
  get since(): string | undefined {
    return this.#told === 0 ? undefined : secondsText(Math.floor(this.#told / 1e6) - 1);
  }
}

/** A time in whole seconds as the API takes it. */
export function secondsText(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}

const TIMESTAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

function microseconds(timestamp: string): number | undefined {
  const [, seconds, fraction = "", zone] = TIMESTAMP.exec(timestamp) ?? [];
  const milliseconds = Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(milliseconds)) return undefined;
  return milliseconds * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

interface Break {
  at: number;
  told: number;
  /** The first line that was told after it. */
  next: number | undefined;
}

/** So long the view may lag behind, and so many breaks in that time are told apart. */
const LAG_MS = 120_000;
const MOST = 32;

/**
 * Where streams of a log broke off lately. One that is opened again may be of the container's next life already, before
 * the view knows: then what is left of the life before is to be read from the break, not from what was told last.
 */
export class LogBreaks {
  #breaks: Break[] = [];

  /** A stream ended; `told` was its last line. */
  note(told: number, now: number): void {
    const last = this.#breaks.at(-1);
    if (last !== undefined && last.next === undefined && last.told === told) {
      last.at = now;
      return;
    }
    this.#breaks = this.#breaks.filter(({ at }) => now - at < LAG_MS);
    this.#breaks.push({ at: now, told, next: undefined });
    const [first, second] = this.#breaks;
    if (this.#breaks.length <= MOST || first === undefined || second === undefined) return;
    // Rather a line read again than one lost: what lay between the first two is no longer known.
    this.#breaks.splice(0, 2, { ...first, at: second.at, next: undefined });
  }

  /** A new line was told. */
  tell(sequence: number): void {
    const last = this.#breaks.at(-1);
    if (last !== undefined) last.next ??= sequence;
  }

  /**
   * Up to where the life before was told for certain.
   * @param began when the present life began, in milliseconds
   * @param told what was told last
   */
  certain(began: number, told: number): number {
    // Lines before that moment are of the life before, and it was read without a gap so far.
    const first = this.#breaks.find(({ next }) => next === undefined || next >= began * 1000);
    return first?.told ?? told;
  }

  clear(): void {
    this.#breaks = [];
  }
}
