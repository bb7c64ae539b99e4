// Which replicas of which agent take requests, and how many are open to each.

/** Where a replica listens, and how many requests are open to it. */
export interface Endpoint {
  readonly replica: string;
  readonly host: string;
  readonly port: number;
  open: number;
  /** Told when a request could not be brought to it: it may be dead. */
  readonly suspect: () => void;
}

interface Draining {
  endpoint: Endpoint;
  done: () => void;
}

/** Which replicas of which agent may get requests now. Shared by the cluster (which knows) and the ingress (which asks). */
export class Endpoints {
  readonly #ready = new Map<string, Endpoint[]>();
  /** By replica, ready or not: open requests are counted across a time of not being ready. */
  readonly #all = new Map<string, Endpoint>();
  readonly #known = new Set<string>();
  readonly #draining = new Set<Draining>();
  #turn = 0;
  #listener: (agentId: string) => void = () => {};

  /** Tells each time when a replica of an agent begins to take requests. */
  onReady(listener: (agentId: string) => void): void {
    this.#listener = listener;
  }

  /** The agent exists here, whether or not a replica is ready. */
  know(agentId: string): void {
    this.#known.add(agentId);
  }

  forget(agentId: string): void {
    this.#known.delete(agentId);
  }

  knows(agentId: string): boolean {
    return this.#known.has(agentId);
  }

  /** @param suspect told when a request could not be brought to it */
  add(agentId: string, replica: string, port: number, suspect: () => void, host = "127.0.0.1"): void {
    this.remove(agentId, replica);
    const known = this.#all.get(replica);
    const isSame = known?.port === port && known.host === host;
    const endpoint = isSame ? known : { replica, host, port, open: 0, suspect };
    this.#all.set(replica, endpoint);
    this.#ready.set(agentId, [...(this.#ready.get(agentId) ?? []), endpoint]);
    this.#listener(agentId);
  }

  /** No new request goes to the replica; those that are open go on. */
  remove(agentId: string, replica: string): void {
    const endpoints = this.#ready.get(agentId) ?? [];
    const kept = endpoints.filter((endpoint) => endpoint.replica !== replica);
    if (kept.length > 0) this.#ready.set(agentId, kept);
    else this.#ready.delete(agentId);
  }

  /** Removes the replica and resolves when its open requests are done, or after `limitMs`. */
  async drain(agentId: string, replica: string, limitMs: number): Promise<void> {
    this.remove(agentId, replica);
    const endpoint = this.#all.get(replica);
    this.#all.delete(replica);
    if (endpoint === undefined || endpoint.open === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => draining.done(), limitMs);
      timer.unref();
      const draining: Draining = {
        endpoint,
        done: () => {
          clearTimeout(timer);
          this.#draining.delete(draining);
          resolve();
        },
      };
      this.#draining.add(draining);
    });
  }

  /** The replica with the fewest open requests, in turn among equals; none of those already tried. */
  pick(agentId: string, tried: ReadonlySet<string>): Endpoint | undefined {
    const endpoints = this.#ready.get(agentId) ?? [];
    this.#turn += 1;
    let best: Endpoint | undefined;
    for (let index = 0; index < endpoints.length; index += 1) {
      const endpoint = endpoints[(index + this.#turn) % endpoints.length];
      if (endpoint === undefined || tried.has(endpoint.replica)) continue;
      if (best === undefined || endpoint.open < best.open) best = endpoint;
    }
    return best;
  }

  /** Counts a request towards the replica until the returned function is called. */
  hold(endpoint: Endpoint): () => void {
    endpoint.open += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      endpoint.open -= 1;
      if (endpoint.open > 0) return;
      for (const draining of [...this.#draining]) if (draining.endpoint === endpoint) draining.done();
    };
  }

  count(agentId: string): number {
    return this.#ready.get(agentId)?.length ?? 0;
  }
}
