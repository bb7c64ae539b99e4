// Bytes that wait: for slow readers, or for the end of a message. Bounded for each owner and for all together.
import type { Owner } from "./owners.ts";

interface Holder {
  /** How many bytes wait now. */
  readonly waitingBytes: number;
  readonly owner: Owner;
}

/** Below this a holder is not worth counting. */
const SMALL = 64 * 1024;

/** Knows who holds much, and cuts off the one that holds most where an owner, or all together, hold too much. */
export class Backlog<H extends Holder> {
  readonly #perOwner: number;
  readonly #inAll: number;
  readonly #cutOff: (holder: H, bytes: number) => void;
  /** What each held when it was looked at last. */
  readonly #large = new Map<H, number>();

  constructor(limits: { perOwner: number; inAll: number }, cutOff: (holder: H, bytes: number) => void) {
    this.#perOwner = limits.perOwner;
    this.#inAll = limits.inAll;
    this.#cutOff = cutOff;
  }

  /** To be called where a holder may have grown. */
  note(holder: H): void {
    const bytes = holder.waitingBytes;
    const before = this.#large.get(holder) ?? 0;
    if (bytes < SMALL) {
      if (before > 0) this.#large.delete(holder);
      return;
    }
    if (bytes < before + SMALL) return; // sums are worth their while when it has grown
    this.#large.set(holder, bytes);
    this.#check((other) => other.owner === holder.owner, this.#perOwner);
    this.#check(() => true, this.#inAll);
  }

  forget(holder: H): void {
    this.#large.delete(holder);
  }

  #check(counts: (holder: H) => boolean, most: number): void {
    let sum = 0;
    for (const [holder, bytes] of this.#large) if (counts(holder)) sum += bytes;
    if (sum <= most) return;
    // What was seen may have been read since: count again before a client is cut off.
    sum = 0;
    let largest: H | undefined;
    for (const holder of this.#large.keys()) {
      const bytes = holder.waitingBytes;
      if (bytes < SMALL) this.#large.delete(holder);
      else {
        this.#large.set(holder, bytes);
        if (!counts(holder)) continue;
        sum += bytes;
        if (!largest || bytes > largest.waitingBytes) largest = holder;
      }
    }
    if (sum <= most || !largest) return;
    this.#large.delete(largest);
    this.#cutOff(largest, largest.waitingBytes);
  }
}
