// Which sockets are open and for whom: those that wait for a first join, guests without a user, and users.

import type { Limits } from "./limits.ts";
import { isGuest, type Owner, SERVICE } from "./owners.ts";

/** What the count needs of a socket. */
export interface Counted {
  readonly address: string;
  terminate(): void;
}

type Limited = Pick<
  Limits,
  "connectionsPerUser" | "waitingConnections" | "waitingPerAddress" | "guestConnections" | "guestsPerAddress"
>;

/**
 * Counts sockets. A new one waits until it joins and shows whose it is, so a full waiting room never refuses a newcomer:
 * the socket that waited longest leaves instead. Guests and users are counted apart, so guests cannot keep users out.
 */
export class Connections<Socket extends Counted> {
  readonly #limits: Limited;
  /** In the order in which they came. */
  readonly #waiting = new Set<Socket>();
  readonly #byOwner = new Map<Owner, Set<Socket>>();
  readonly #ownersOf = new Map<Socket, Set<Owner>>();
  #guests = 0;

  constructor(limits: Limited) {
    this.#limits = limits;
  }

  /** Counts a new socket. */
  open(socket: Socket): void {
    const { waitingConnections, waitingPerAddress } = this.#limits;
    const neighbours = [...this.#waiting].filter(({ address }) => address === socket.address);
    if (neighbours.length >= waitingPerAddress) this.#dismiss(neighbours[0]);
    else if (this.#waiting.size >= waitingConnections) this.#dismiss(this.#waiting.values().next().value);
    this.#waiting.add(socket);
  }

  /** Counts a socket to the owner of a join; false when the owner, or all guests together, have too many. */
  join(socket: Socket, owner: Owner): boolean {
    if (owner === SERVICE) {
      this.#waiting.delete(socket);
      return true;
    }
    const known = this.#byOwner.get(owner) ?? new Set();
    if (!known.has(socket)) {
      const guest = isGuest(owner);
      const most = guest ? this.#limits.guestsPerAddress : this.#limits.connectionsPerUser;
      if (known.size >= most || (guest && this.#guests >= this.#limits.guestConnections)) return false;
      if (guest) this.#guests += 1;
      this.#byOwner.set(owner, known.add(socket));
      const owners = this.#ownersOf.get(socket) ?? new Set();
      this.#ownersOf.set(socket, owners.add(owner));
    }
    this.#waiting.delete(socket);
    return true;
  }

  /** Whether a user stands behind a socket. */
  hasUser(socket: Socket): boolean {
    return [...(this.#ownersOf.get(socket) ?? [])].some((owner) => !isGuest(owner));
  }

  /** The sockets of an owner. */
  of(owner: Owner): Iterable<Socket> {
    return this.#byOwner.get(owner) ?? [];
  }

  /** The ids of all users with a socket. */
  users(): string[] {
    return [...this.#byOwner.keys()]
      .filter((owner) => !isGuest(owner))
      .map((owner) => owner.slice("user:".length));
  }

  close(socket: Socket): void {
    this.#waiting.delete(socket);
    for (const owner of this.#ownersOf.get(socket) ?? []) {
      const sockets = this.#byOwner.get(owner);
      sockets?.delete(socket);
      if (isGuest(owner)) this.#guests -= 1;
      if (sockets?.size === 0) this.#byOwner.delete(owner);
    }
    this.#ownersOf.delete(socket);
  }

  #dismiss(socket: Socket | undefined): void {
    if (!socket) return;
    this.#waiting.delete(socket);
    socket.terminate();
  }
}
