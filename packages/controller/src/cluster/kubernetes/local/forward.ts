// Maps ready pods to ports of this machine, for a controller outside the cluster.

import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Endpoints } from "../../../ingress/endpoints.ts";
import { errorMessage, type Log } from "../../../log.ts";

/** A pod that may get requests. */
export interface ReadyPod {
  namespace: string;
  name: string;
}

/** Joins a connection of this machine to the pod's port until either side ends it. */
export type Connect = (pod: ReadyPod, socket: Socket) => Promise<void>;

export interface LocalForwardsOptions {
  connect: Connect;
  endpoints: Endpoints;
  /** The pods of an agent that are ready now; undefined when there is nothing of the agent. */
  readyPods(agentId: string): readonly ReadyPod[] | undefined;
  log: Log;
}

/**
 * Brings the pods of a cluster to ports of this machine, as `kubectl port-forward` does, so that a controller on a
 * laptop can serve agents at its own ingress. Inside a cluster the Ingress does this, and nothing here is used.
 */
export class LocalForwards {
  readonly #options: LocalForwardsOptions;
  /** By agent, then by pod. */
  readonly #agents = new Map<string, Map<string, Server>>();
  #stopped = false;

  constructor(options: LocalForwardsOptions) {
    this.#options = options;
  }

  /** Makes the agent's ports those of its ready pods; to be called whenever something of the agent changed. */
  sync(agentId: string): void {
    if (this.#stopped) return;
    const pods = this.#options.readyPods(agentId);
    const { endpoints } = this.#options;
    if (pods === undefined) endpoints.forget(agentId);
    else endpoints.know(agentId);
    const servers = this.#agents.get(agentId) ?? new Map<string, Server>();
    const wanted = new Map((pods ?? []).map((pod) => [pod.name, pod]));
    for (const [name, server] of servers) {
      if (wanted.has(name)) continue;
      servers.delete(name);
      endpoints.remove(agentId, name);
      server.close(); // open connections go on until their pod ends them
    }
    for (const [name, pod] of wanted) {
      if (servers.has(name)) continue;
      const server = this.#open(pod);
      servers.set(name, server);
      void once(server, "listening").then(
        () => {
          const { port } = server.address() as AddressInfo;
          if (servers.get(name) === server) endpoints.add(agentId, name, port, () => {});
        },
        (error: unknown) =>
          this.#options.log.warn("no port for a pod", { agentId, error: errorMessage(error) }),
      );
    }
    if (servers.size === 0) this.#agents.delete(agentId);
    else this.#agents.set(agentId, servers);
  }

  stop(): void {
    this.#stopped = true;
    for (const [agentId, servers] of this.#agents) {
      for (const [name, server] of servers) {
        this.#options.endpoints.remove(agentId, name);
        server.close();
      }
    }
    this.#agents.clear();
  }

  #open(pod: ReadyPod): Server {
    const server = createServer((socket) => {
      // An error of the connection ends it; the caller sees that it broke off.
      socket.on("error", () => socket.destroy());
      this.#options.connect(pod, socket).catch((error: unknown) => {
        this.#options.log.debug("a pod could not be reached", { pod: pod.name, error: errorMessage(error) });
        socket.destroy();
      });
    });
    server.listen(0, "127.0.0.1");
    server.unref();
    return server;
  }
}
