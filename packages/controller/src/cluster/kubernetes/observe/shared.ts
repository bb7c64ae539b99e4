// One copy of what many objects have in common: ten thousand Deployments differ in little but their names.

/** Longer parts are rarely equal, and cost more to look up. */
const LONGEST = 400;
/** Shorter texts are one copy anyway, or cost as little as a reference. */
const SHORT = 8;

/**
 * Replaces parts of objects by equal ones that were seen before. A bounded number is remembered, those used last: what is
 * common is used again and again. What it returns is frozen, since others hold it too.
 */
export class SharedParts {
  readonly #most: number;
  readonly #texts = new Map<string, string>();
  readonly #parts = new Map<string, unknown>();

  constructor(most = 4096) {
    this.#most = most;
  }

  /** The value, made of shared parts. */
  of<T>(value: T): T {
    return this.#share(value)[0] as T;
  }

  /** @returns the shared value, and its text unless that is too long */
  #share(value: unknown): [shared: unknown, text: string | undefined] {
    if (typeof value === "string") {
      const one = value.length < SHORT ? value : this.#one(this.#texts, value, value);
      return [one, value.length > LONGEST ? undefined : JSON.stringify(value)];
    }
    if (value === null || typeof value !== "object") return [value, String(value)];
    const isArray = Array.isArray(value);
    const shared: Record<string, unknown> | unknown[] = isArray ? [] : {};
    let text: string | undefined = isArray ? "[" : "{";
    for (const name of Object.keys(value)) {
      const [part, words] = this.#share((value as Record<string, unknown>)[name]);
      (shared as Record<string, unknown>)[name] = part;
      if (text !== undefined)
        text = words === undefined ? undefined : `${text}${JSON.stringify(name)}:${words},`;
      if (text !== undefined && text.length > LONGEST) text = undefined;
    }
    Object.freeze(shared);
    if (text !== undefined) text += isArray ? "]" : "}";
    return [text === undefined ? shared : this.#one(this.#parts, text, shared), text];
  }

  #one<V>(known: Map<string, V>, key: string, value: V): V {
    const before = known.get(key);
    // Used just now: the last to be forgotten.
    if (before !== undefined) known.delete(key);
    known.set(key, before ?? value);
    if (known.size > this.#most) {
      const [oldest] = known.keys();
      if (oldest !== undefined) known.delete(oldest);
    }
    return before ?? value;
  }
}
