// Copies of named objects of the controller's namespace in users' namespaces: pull secrets, a certificate for all agents, certificate
// authorities. Each is read by its name; no list of the Secrets there is ever asked for.
import type { V1ConfigMap, V1Secret } from "@kubernetes/client-node";
import { type Clock, jittered } from "../../clock.ts";
import type { FleetGuard } from "../../fleet/guard.ts";
import { errorMessage, type Log } from "../../log.ts";
import { type Kind, type KubeApi, KubeError, type KubeObject, type ObjectMeta } from "./api.ts";
import type { Inventory } from "./inventory.ts";
import type { Wire } from "./manifests/wire.ts";
import { KeyedMutex } from "./mutex.ts";
import { ANNOTATIONS, userLabels, userOf } from "./names.ts";
import { forEach } from "./observe/concurrency.ts";
import { isPaused } from "./observe/observed-workload.ts";
import type { ClusterView } from "./observe/view.ts";
import type { ManifestOptions } from "./options.ts";
import { type May, OutdatedError, type Writer } from "./writer.ts";

/** What is copied, by name. */
export interface Named {
  kind: "Secret" | "ConfigMap";
  name: string;
}

export interface CopiesOptions {
  api: Pick<KubeApi, "get" | "list">;
  inventory: Pick<Inventory, "all" | "find" | "isLoaded">;
  writer: Pick<Writer, "apply" | "remove">;
  view: Pick<ClusterView, "agents" | "namespaces" | "objects">;
  guard: Pick<FleetGuard, "isOurs" | "mayChange" | "mayRemove">;
  clock: Clock;
  random: () => number;
  log: Log;
  named: readonly Named[];
  resyncSeconds: number;
  manifests: Pick<ManifestOptions, "controllerNamespace" | "installation" | "namespacePrefix">;
}

/** An original as it was read last: its version and what of it is copied. */
interface Original extends Named {
  version: string;
  content: Record<string, unknown>;
}

/** Between two looks at the originals, at most. */
const PERIOD_MS = 60_000;
/** Namespaces brought up to date at once: one that does not answer holds up no other. */
const TOGETHER = 8;

/** The objects that agents' pods and Ingresses refer to by a name that is the same for all of them. */
export function namedObjects({
  caBundle,
  copyNamed,
  expose,
  imagePullSecrets = [],
  ingressTlsSecret,
}: Pick<
  ManifestOptions,
  "caBundle" | "copyNamed" | "expose" | "imagePullSecrets" | "ingressTlsSecret"
>): Named[] {
  if (copyNamed !== true) return [];
  const shared = expose === "ingress" && ingressTlsSecret?.includes("{agentId}") === false;
  const secrets = [...imagePullSecrets, ...(shared ? [ingressTlsSecret] : [])];
  const named: Named[] = secrets.map((name) => ({ kind: "Secret", name }));
  if (caBundle !== undefined) named.push({ kind: caBundle.kind, name: caBundle.name });
  return [...new Map(named.map((one) => [keyOf(one), one])).values()];
}

/**
 * Keeps the copies: made before an agent of the namespace is, made again with a namespace, current within a minute of a change,
 * removed when they are named no longer and no agent refers to them. An object of the same name that somebody else made is left alone, and so are copies
 * whose original is gone.
 */
export class Copies {
  readonly #options: CopiesOptions;
  readonly #originals = new Map<string, Original>();
  /** Objects of others under a name of ours, until the next look. */
  readonly #foreign = new Set<string>();
  readonly #said = new Set<string>();
  /** One at a time writes into a namespace, so that an older content never arrives after a newer one. */
  readonly #namespaces = new KeyedMutex();
  #read: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;
  #cancel: () => void = () => {};

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, random, resyncSeconds } = this.#options;
    if (this.#stopped) return;
    const period = Math.min(PERIOD_MS, resyncSeconds * 1000);
    this.#cancel = clock.after(jittered(period, 0.2, random), () => {
      void this.refresh().finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#running;
  }

  /**
   * Makes what is missing or old in a namespace whose inventory is loaded. A copy that cannot be made stops no agent: the next
   * look tries again.
   * @throws {OutdatedError} when the caller may not write any more
   */
  async into(namespace: string, may: May): Promise<void> {
    if (this.#options.named.length === 0) return;
    this.#read ??= this.#readAll();
    await this.#read;
    await this.#namespaces.run(namespace, async () => {
      for (const key of this.#originals.keys()) await this.#copy(key, namespace, may);
    });
  }

  /** Reads the originals and brings every namespace that is known here up to date. Never throws. */
  refresh(): Promise<void> {
    this.#running ??= this.#refresh()
      .catch((error: unknown) => this.#options.log.warn("copies are late", { error: errorMessage(error) }))
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  async #refresh(): Promise<void> {
    const { guard, inventory, log, view } = this.#options;
    this.#foreign.clear();
    this.#read = this.#readAll();
    await this.#read;
    const may = () => !this.#stopped && guard.mayChange;
    const due = view.namespaces().filter((namespace) => {
      const { annotations, deletionTimestamp, name } = namespace.metadata;
      const ours = guard.isOurs(annotations?.[ANNOTATIONS.database]);
      return ours && deletionTimestamp === undefined && !isPaused({ namespace }) && inventory.isLoaded(name);
    });
    await forEach(due, TOGETHER, async ({ metadata: { name } }) => {
      if (!may()) return;
      try {
        await this.into(name, may);
        await this.#removeUnnamed(name);
      } catch (error) {
        if (error instanceof OutdatedError) return;
        log.warn("a namespace's copies are late", { namespace: name, error: errorMessage(error) });
      }
    });
  }

  async #readAll(): Promise<void> {
    const { api, log, manifests, named } = this.#options;
    const { controllerNamespace: namespace } = manifests;
    for (const { kind, name } of named) {
      const key = keyOf({ kind, name });
      try {
        const found = await api.get(kind, namespace, name);
        if (found === undefined) {
          this.#once(`missing ${key}`, () =>
            log.warn(
              "an object that agents refer to is missing here: it is not copied to users' namespaces",
              {
                kind,
                namespace,
                name,
              },
            ),
          );
          continue;
        }
        this.#said.delete(`missing ${key}`);
        this.#originals.set(key, {
          kind,
          name,
          version: versionOf(found.metadata),
          content: contentOf(found),
        });
      } catch (error) {
        log.warn("an object that agents refer to cannot be read", {
          kind,
          namespace,
          name,
          error: errorMessage(error),
        });
      }
    }
  }

  async #copy(key: string, namespace: string, may: May): Promise<void> {
    const { inventory, log, manifests } = this.#options;
    // As it is now: while this waited, it may have been read again.
    const original = this.#originals.get(key);
    if (original === undefined) return;
    const { kind, name, version, content } = original;
    const place = `${namespace}/${kind}/${name}`;
    const there = inventory.find(kind, namespace, name);
    if (there?.annotations?.[ANNOTATIONS.copyOf] === version || this.#foreign.has(place)) return;
    const userId = userOf(manifests.namespacePrefix, { metadata: { name: namespace } });
    const wanted: KubeObject = {
      apiVersion: "v1",
      kind,
      metadata: {
        name,
        namespace,
        labels: userLabels(manifests.installation, userId ?? ""),
        annotations: { [ANNOTATIONS.copyOf]: version },
      },
      ...content,
    } satisfies Wire<V1Secret | V1ConfigMap>;
    try {
      if (await this.#isForeign({ kind, name }, namespace, there)) {
        this.#foreign.add(place);
        this.#once(`foreign ${place}`, () =>
          log.warn("an object of this name is somebody else's: it is left as it is", {
            kind,
            namespace,
            name,
          }),
        );
        return;
      }
      await this.#write(wanted, there, may);
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      log.warn("a copy could not be made", { kind, namespace, name, error: error.message });
    }
  }

  /** The type of a Secret never changes: where it does, another Secret takes its place. */
  async #write(wanted: KubeObject, there: ObjectMeta | undefined, may: May): Promise<void> {
    const { writer } = this.#options;
    const { name, namespace = "" } = wanted.metadata;
    try {
      await writer.apply(wanted, may);
    } catch (error) {
      if (!(error instanceof KubeError) || error.code !== "INVALID" || there === undefined) throw error;
      await writer.remove(wanted.kind as Kind, namespace, name, may, there.uid);
      await writer.apply(wanted, may);
    }
  }

  async #isForeign(
    { kind, name }: Named,
    namespace: string,
    there: ObjectMeta | undefined,
  ): Promise<boolean> {
    if (there !== undefined) return there.annotations?.[ANNOTATIONS.copyOf] === undefined;
    const query = { namespace, fieldSelector: `metadata.name=${name}`, metadataOnly: true };
    const [found] = (await this.#options.api.list(kind, query)).items;
    return found !== undefined && found.metadata.annotations?.[ANNOTATIONS.copyOf] === undefined;
  }

  async #removeUnnamed(namespace: string): Promise<void> {
    const { guard, inventory, log, named, writer } = this.#options;
    const wanted = new Set(named.map(keyOf));
    for (const { kind, metadata } of inventory.all(namespace)) {
      const isCopy = metadata.annotations?.[ANNOTATIONS.copyOf] !== undefined;
      if (!isCopy || wanted.has(keyOf({ kind, name: metadata.name }))) continue;
      if (this.#isUsed(namespace, metadata.name)) continue;
      if (this.#stopped || !guard.mayRemove) return;
      log.info("a copy is removed: nothing names it any more", { kind, namespace, name: metadata.name });
      await writer.remove(
        kind,
        namespace,
        metadata.name,
        () => !this.#stopped && guard.mayRemove,
        metadata.uid,
      );
    }
  }

  /** Whether an agent there still refers to it: a change of the settings reaches agents one wave after the other. */
  #isUsed(namespace: string, name: string): boolean {
    const { view } = this.#options;
    const refers = ({ kind, metadata, spec }: KubeObject) =>
      (kind === "Deployment" || kind === "Ingress") &&
      metadata.namespace === namespace &&
      JSON.stringify(spec).includes(JSON.stringify(name));
    return view.agents().some((agentId) => view.objects(agentId).all.some(refers));
  }

  /** Says it once, until it is forgotten. */
  #once(key: string, say: () => void): void {
    if (this.#said.has(key)) return;
    this.#said.add(key);
    say();
  }
}

function keyOf({ kind, name }: { kind: Kind; name: string }): string {
  return `${kind}/${name}`;
}

/** Another one after every change of the original. Nothing of what it holds is in it. */
function versionOf({ uid = "", resourceVersion = "" }: ObjectMeta): string {
  return `${uid}.${resourceVersion}`;
}

function contentOf({ binaryData, data, type }: KubeObject): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries({ type, data, binaryData }).filter(([, value]) => value !== undefined),
  );
}
