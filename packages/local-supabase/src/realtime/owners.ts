// Who answers for what a client makes the server do: a user, or an address where there is no user.
import type { Identity } from "./claims.ts";
import { type Limits, RateWindow } from "./limits.ts";

/** `user:<sub>`, `guest:<address>` or `service`; limits count by it. */
export type Owner = string;

/** The holder of the secret key: trusted, and counted nowhere. */
export const SERVICE: Owner = "service";

/** Takes the identity of a token or key and the client's address. */
export function ownerOf(identity: Identity, address: string): Owner {
  if (identity.role === "service_role") return SERVICE;
  return identity.sub === undefined ? `guest:${address}` : `user:${identity.sub}`;
}

export const isGuest = (owner: Owner): boolean => owner.startsWith("guest:");

/** How much an owner may spend at once after a silence. */
const BURST_MS = 1000;
/** No owner waits longer than this, whatever they spent: their heartbeats must get through. */
const MOST_WAIT_MS = 10_000;
/** For each millisecond at the database an owner pays four: at most a quarter of a connection serves one owner. */
const DATABASE_FACTOR = 4;
/** A statement that waited for others is not charged in full. */
const MOST_CHARGED_MS = 50;

/**
 * What each owner makes the server do. Deliveries are paid in time: each owner has an equal share of the server's, and one
 * who has spent it waits, while all others go on. Pure but for its own state: the time is passed in.
 */
export class Spending {
  readonly #limits: Limits;
  readonly #paidUntil = new Map<Owner, number>();
  readonly #joins = new Map<Owner, RateWindow>();
  readonly #requests = new Map<Owner, RateWindow>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Charges messages sent on behalf of an owner. */
  spend(owner: Owner, sent: { deliveries: number; bytes: number }, now: number): void {
    if (owner === SERVICE) return;
    const { deliveriesPerSecond, deliveredBytesPerSecond } = this.#limits;
    this.#pay(
      owner,
      1000 * Math.max(sent.deliveries / deliveriesPerSecond, sent.bytes / deliveredBytesPerSecond),
      now,
    );
  }

  /** Charges time at the database. */
  spendAtDatabase(owner: Owner, ms: number, now: number): void {
    if (owner !== SERVICE) this.#pay(owner, DATABASE_FACTOR * Math.min(ms, MOST_CHARGED_MS), now);
  }

  #pay(owner: Owner, ms: number, now: number): void {
    const from = Math.max(this.#paidUntil.get(owner) ?? 0, now - BURST_MS);
    this.#paidUntil.set(owner, Math.min(from + ms, now + MOST_WAIT_MS));
  }

  /** How long an owner must wait before they are served again; 0 for at once. */
  waitMs(owner: Owner, now: number): number {
    return Math.max(0, (this.#paidUntil.get(owner) ?? 0) - now);
  }

  /** Counts a join; false when there are too many in this second. */
  join(owner: Owner, now: number): boolean {
    return owner === SERVICE || take(this.#joins, owner, this.#limits.joinsPerSecond, now);
  }

  /** Counts an HTTP request; false when there are too many in this second. */
  request(owner: Owner, now: number): boolean {
    return owner === SERVICE || take(this.#requests, owner, this.#limits.requestsPerSecond, now);
  }

  /** Forgets owners with nothing left to count. */
  sweep(now: number): void {
    for (const [owner, until] of this.#paidUntil) if (until < now - BURST_MS) this.#paidUntil.delete(owner);
    for (const windows of [this.#joins, this.#requests])
      for (const [owner, window] of windows) if (window.isOver(now)) windows.delete(owner);
  }
}

function take(windows: Map<Owner, RateWindow>, owner: Owner, perSecond: number, now: number): boolean {
  let window = windows.get(owner);
  if (!window) {
    window = new RateWindow(perSecond, 1000);
    windows.set(owner, window);
  }
  return window.take(now);
}
