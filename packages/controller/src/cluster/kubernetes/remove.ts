// Removes everything of one agent from the cluster.

import type { Kind, KubeApi, KubeObject } from "./api.ts";
import { isForbidden } from "./inventory.ts";
import { agentSelector } from "./names.ts";
import type { AgentObjects, ClusterView } from "./observe/view.ts";
import type { May, Writer } from "./writer.ts";

export interface RemoverOptions {
  api: KubeApi;
  view: Pick<ClusterView, "objects">;
  writer: Writer;
  installation: string;
}

/** Not watched: they are looked for, by label. */
const HIDDEN = ["Secret", "ConfigMap"] as const satisfies Kind[];

/**
 * Removes everything of an agent, in every namespace, found by label. What is seen by the watches goes last, the Service
 * as the very last: while anything is left, the agent is still seen, and its removal goes on, whoever crashes when. It
 * waits for nothing: the end of the last pod is told by a watch.
 */
export class Remover {
  readonly #options: RemoverOptions;

  constructor(options: RemoverOptions) {
    this.#options = options;
  }

  /**
   * @param within only what is in these namespaces; left out: all that is the agent's
   * @throws {KubeError}
   */
  async remove(
    agentId: string,
    may: May,
    within: (namespace: string) => boolean = () => true,
  ): Promise<void> {
    const { view, writer } = this.#options;
    const objects = view.objects(agentId);
    const leaving = objects.all.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const mine = leaving.filter(
      (object) => within(object.metadata.namespace ?? "") && isMadeByUs(object, objects),
    );
    if (mine.length === 0) return;
    const namespaces = [...new Set(mine.map(({ metadata }) => metadata.namespace ?? ""))];
    const end = ({ kind, metadata }: KubeObject) =>
      writer.remove(kind as Kind, metadata.namespace ?? "", metadata.name, may, metadata.uid);
    const last = (object: KubeObject) => object.kind === "Service";
    const middle = (object: KubeObject) => ["Deployment", "ReplicaSet", "Pod"].includes(object.kind);

    await all(mine.filter((object) => !last(object) && !middle(object)).map(end));
    for (const namespace of namespaces) await this.#hidden(agentId, namespace, may);
    await all(mine.filter(middle).map(end));
    await all(mine.filter(last).map(end));
  }

  async #hidden(agentId: string, namespace: string, may: May): Promise<void> {
    const { api, installation, writer } = this.#options;
    const query = { namespace, labelSelector: agentSelector(installation, agentId), metadataOnly: true };
    try {
      const lists = await Promise.all(
        HIDDEN.map(async (kind) => ({ kind, list: await api.list(kind, query) })),
      );
      await all(
        lists.flatMap(({ kind, list }) =>
          list.items.map(({ metadata }) => writer.remove(kind, namespace, metadata.name, may, metadata.uid)),
        ),
      );
    } catch (error) {
      // Where the controller has no role any more, the namespace itself is on its way out; its end takes all with it.
      if (!isForbidden(error)) throw error;
    }
  }
}

/** Not what another object brings along: replica sets and pods go with their Deployment, unless they are orphans. */
function isMadeByUs({ kind, metadata }: KubeObject, { all: objects }: AgentObjects): boolean {
  if (kind !== "ReplicaSet" && kind !== "Pod") return true;
  const owners = metadata.ownerReferences ?? [];
  return !owners.some(({ controller }) => controller) && objects.length > 0;
}

async function all(work: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
