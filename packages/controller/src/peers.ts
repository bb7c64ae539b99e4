// Passes webhook hints on to the other controllers of the same database.

import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { sign } from "@agent-launchpad/agent-runtime";
import { createPost, type Post } from "./http-post.ts";
import { errorMessage, type Log } from "./log.ts";
import { RELAYED } from "./webhook.ts";

export interface PeersOptions {
  /** `name:port`; the name resolves to the address of every controller, this one included. */
  address: string;
  secret: string;
  log: Log;
  post?: Post;
  resolve?: (name: string) => Promise<string[]>;
  /** Addresses of this controller. */
  own?: ReadonlySet<string>;
}

/** How long a name's addresses are kept. */
const FRESH_MS = 5000;
const TIMEOUT_MS = 2000;

/**
 * The other controllers of the same database. A webhook reaches one of them, perhaps not the one that holds the agent:
 * that one would notice only at its next poll. So each hint is told on, once. Like the webhook it may be lost.
 */
export class Peers {
  readonly #name: string;
  readonly #port: string;
  readonly #secret: string;
  readonly #log: Log;
  readonly #post: Post;
  readonly #resolve: (name: string) => Promise<string[]>;
  readonly #own: ReadonlySet<string>;
  /** Peers that are being told; true = and once more afterwards, for what came meanwhile. */
  readonly #telling = new Map<string, boolean>();
  #known: Promise<string[]> | undefined;
  #knownUntil = 0;

  constructor(options: PeersOptions) {
    const [name = "", port = ""] = options.address.split(":");
    this.#name = name;
    this.#port = port;
    this.#secret = options.secret;
    this.#log = options.log;
    this.#post = options.post ?? createPost();
    this.#resolve = options.resolve ?? addressesOf;
    this.#own = options.own ?? ownAddresses();
  }

  /** Tells the others that there may be something to claim. Never throws or rejects; hints in a row become one. */
  async hint(): Promise<void> {
    try {
      const peers = (await this.#addresses()).filter((address) => !this.#own.has(address));
      await Promise.all(peers.map((address) => this.#tell(address)));
    } catch (error) {
      this.#log.debug("the other controllers were not found", {
        name: this.#name,
        error: errorMessage(error),
      });
    }
  }

  async #tell(address: string): Promise<void> {
    if (this.#telling.has(address)) {
      this.#telling.set(address, true);
      return;
    }
    do {
      this.#telling.set(address, false);
      await this.#send(address);
    } while (this.#telling.get(address));
    this.#telling.delete(address);
  }

  async #send(address: string): Promise<void> {
    const timestamp = String(Math.floor(Date.now() / 1000));
    const body = '{"reason":"relayed"}';
    const host = address.includes(":") ? `[${address}]` : address;
    try {
      await this.#post(
        `http://${host}:${this.#port}/webhooks/deployments`,
        {
          "content-type": "application/json",
          "x-launchpad-timestamp": timestamp,
          "x-launchpad-signature": sign(this.#secret, timestamp, body),
          [RELAYED]: "1",
        },
        body,
        TIMEOUT_MS,
      );
    } catch (error) {
      this.#log.debug("could not pass a webhook on to another controller", {
        address,
        error: errorMessage(error),
      });
    }
  }

  #addresses(): Promise<string[]> {
    if (this.#known === undefined || Date.now() > this.#knownUntil) {
      this.#knownUntil = Date.now() + FRESH_MS;
      this.#known = this.#resolve(this.#name);
      this.#known.catch(() => {
        this.#known = undefined;
      });
    }
    return this.#known;
  }
}

async function addressesOf(name: string): Promise<string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}

function ownAddresses(): Set<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
  );
}
