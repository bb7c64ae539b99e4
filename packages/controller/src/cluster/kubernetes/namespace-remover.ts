// Deletes users' namespaces, but never one that holds what somebody else put there.
import type { Log } from "../../log.ts";
import type { KubeApi } from "./api.ts";
import { foreignObjects } from "./foreign-objects.ts";
import type { Namespace } from "./observe/objects.ts";
import type { May, Writer } from "./writer.ts";

export interface NamespaceRemoverOptions {
  api: Pick<KubeApi, "contents">;
  writer: Pick<Writer, "remove">;
  installation: string;
  log: Log;
}

export class NamespaceRemover {
  readonly #options: NamespaceRemoverOptions;
  readonly #kept = new Set<string>();

  constructor(options: NamespaceRemoverOptions) {
    this.#options = options;
  }

  /** How many namespaces stay only for what others put into them. */
  get kept(): number {
    return this.#kept.size;
  }

  /**
   * Asks for the end of the namespace, unless it holds foreign objects.
   * @returns whether it was asked for
   * @throws {KubeError} when not all of it can be seen: then it stays
   */
  async remove({ metadata: { name, uid } }: Namespace, may: May): Promise<boolean> {
    const { api, writer, installation, log } = this.#options;
    const foreign = foreignObjects(await api.contents(name), installation);
    if (foreign.length === 0) {
      this.#kept.delete(name);
      await writer.remove("Namespace", "", name, may, uid);
      return true;
    }
    if (!this.#kept.has(name)) {
      log.warn("a user's namespace is kept: somebody else put objects into it", {
        namespace: name,
        objects: foreign.slice(0, 10).join(", "),
        count: foreign.length,
      });
    }
    this.#kept.add(name);
    return false;
  }

  /** Only these are still to go: others are gone, or wanted again. */
  retain(names: ReadonlySet<string>): void {
    for (const name of this.#kept) if (!names.has(name)) this.#kept.delete(name);
  }
}
