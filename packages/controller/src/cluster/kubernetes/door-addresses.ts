// Knows at which addresses the controllers hold requests of sleeping agents.

import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import type { Clock } from "../../clock.ts";
import { errorMessage, type Log } from "../../log.ts";

export interface DoorAddressesOptions {
  /** A name that resolves to the address of every controller that is ready. */
  name: string;
  clock: Clock;
  log: Log;
  changed(): void;
  resolve?: (name: string) => Promise<string[]>;
  own?: readonly string[];
}

/** A controller that ended gets no more requests after so long, and what the cluster's DNS keeps. */
const FRESH_MS = 5000;

/**
 * The addresses of all controllers, asked for now and then. When none is ready (their database is down), the last ones known
 * stay: they answer that the agent cannot be woken now, which is better than a closed door.
 */
export class DoorAddresses {
  readonly #options: Required<DoorAddressesOptions>;
  #known: readonly string[] = [];
  #cancel: () => void = () => {};
  #stopped = false;

  constructor(options: DoorAddressesOptions) {
    this.#options = { resolve: addressesOf, own: ownAddresses(), ...options };
  }

  /** The addresses, sorted; this controller's own ones until others are known. */
  get current(): readonly string[] {
    return this.#known.length > 0 ? this.#known : this.#options.own;
  }

  async start(): Promise<void> {
    await this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { changed, clock, log, name, resolve } = this.#options;
    try {
      const found = [...new Set(await resolve(name))].sort();
      const before = this.current.join();
      if (found.length > 0) this.#known = found;
      if (this.current.join() !== before && !this.#stopped) changed();
    } catch (error) {
      log.debug("the controllers' addresses were not found", { name, error: errorMessage(error) });
    }
    if (!this.#stopped) this.#cancel = clock.after(FRESH_MS, () => void this.#look());
  }
}

async function addressesOf(name: string): Promise<string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

/** In a pod these are the pod's. Addresses of a link alone lead nowhere from elsewhere. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ address, internal }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
    .map(({ address }) => address)
    .sort();
}
