// Keeps each pod's secrets out of its logs.

import { createRedactor } from "../../../shipping/redact.ts";
import type { KubeApi } from "../api.ts";
import { CONTAINER } from "../names.ts";
import type { Pod } from "./objects.ts";

export type Redact = <T>(value: T) => T;

/** Secrets whose redactors are kept in memory. */
const MOST = 5000;

/**
 * Makes, for each pod, what takes its secrets out of its words. The values are read from the Secrets that the pod starts
 * with, once for each: they never change under one name. They are kept nowhere but in the redactor.
 */
export class Redactors {
  readonly #api: Pick<KubeApi, "list">;
  readonly #known = new Map<string, Promise<Redact>>();

  constructor(api: Pick<KubeApi, "list">) {
    this.#api = api;
  }

  /**
   * What masks the secrets of the pod.
   * @throws {Error} when they cannot be read: then nothing that it says may be passed on
   */
  async of(pod: Pod): Promise<Redact> {
    const namespace = pod.metadata.namespace ?? "";
    const names = secretsOf(pod);
    const key = `${namespace}/${names.join(",")}`;
    const known = this.#known.get(key) ?? this.#read(namespace, names);
    // The one used last is last in the map; the first is the one to go.
    this.#known.delete(key);
    this.#known.set(key, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MOST && oldest !== undefined) this.#known.delete(oldest);
    try {
      return await known;
    } catch (error) {
      if (this.#known.get(key) === known) this.#known.delete(key);
      throw error;
    }
  }

  async #read(namespace: string, names: readonly string[]): Promise<Redact> {
    const values: string[] = [];
    for (const name of names) {
      // By list: that is the only right there is to a user's Secrets.
      const { items } = await this.#api.list("Secret", { namespace, fieldSelector: `metadata.name=${name}` });
      const [secret] = items;
      if (secret === undefined) throw new Error(`the Secret ${name} is gone`);
      for (const [field, encoded] of Object.entries((secret.data as Record<string, string> | null) ?? {})) {
        const value = Buffer.from(encoded, "base64").toString("utf8");
        if (!isPlain(field, value)) values.push(value);
      }
    }
    return createRedactor(values);
  }
}

/** A provider's address is no secret, unless it holds one; nor is which of its APIs is called. */
function isPlain(name: string, value: string): boolean {
  return name === "OPENAI_API" || (name.endsWith("_BASE_URL") && !/[@?]/.test(value));
}

/** The names of the Secrets that the agent's container starts with. */
function secretsOf(pod: Pod): string[] {
  const container = pod.spec?.containers?.find(({ name }) => name === CONTAINER);
  return (container?.envFrom ?? []).flatMap(({ secretRef }) => secretRef?.name ?? []).sort();
}
