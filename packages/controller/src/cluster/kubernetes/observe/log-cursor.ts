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
