// What an agent's plugins need before it can start: names resolved, kept with the revision, installed. Beside the passes of the
// controller, which see how far it is: an install takes a minute, and other agents must not wait for it.
import type { Clock } from "../clock.ts";
import type { Failure } from "../cluster/cluster.ts";
import type { Claim } from "../contract.ts";
import { errorMessage, type Log } from "../log.ts";
import type { PluginDatabase, ResolvedPlugins } from "./database.ts";
import { NpmError } from "./npm.ts";
import { explainNpm, PluginError, type Resolution } from "./resolve.ts";
import type { Tree } from "./tree.ts";

/** Where packages are kept: installed on this machine ({@link PluginStore}), or for pods to fetch ({@link SetStore}). */
export interface Store {
  /** @returns the folder that agents of this machine load packages from; undefined where they fetch them */
  provide(id: string, tree: () => Promise<Tree>): Promise<string | undefined>;
  progress(id: string): string | undefined;
}

/** How far it is. */
export type Provision =
  /** `message`: what a person is told; none before there is something to tell. */
  | { state: "pending"; message?: string | undefined }
  /** `folder`: where packages are loaded from; none where nothing had to be installed. `told`: a message was seen before. */
  | { state: "ready"; folder?: string; resolved?: ResolvedPlugins; told: boolean }
  | { state: "failed"; failure: Failure };

export interface Provisioning {
  readonly current: Provision;
  /** Nobody asks any more: no change is told. */
  cancel(): void;
}

export interface ProvisionerOptions {
  database: PluginDatabase;
  store: Store;
  clock: Clock;
  log: Log;
  resolve(entries: readonly string[]): Promise<Resolution | undefined>;
}

/** Tries of what may pass on its own: the registry, the database. */
const TRIES = 4;
const BETWEEN_MS = 2000;
/** How long the database may take to have packages looked up: its sweep calls again each minute. */
const LOOK_UP_MS = 90_000;
/** What npm says of an outage. */
const PASSING = /^(ECONN|ENOTFOUND|EAI_|ETIMEDOUT|ESOCKET|EPIPE|ERR_SOCKET|E5\d\d|E429)/;

export class Provisioner {
  readonly #options: ProvisionerOptions;

  constructor(options: ProvisionerOptions) {
    this.#options = options;
  }

  /**
   * Begins with a claimed generation.
   * @param changed called when there is something new to see
   * @returns undefined where it names no plugin
   */
  begin(claim: Claim, changed: () => void): Provisioning | undefined {
    if ((claim.spec?.plugins ?? []).length === 0) return undefined;
    let current: Provision = { state: "pending" };
    let tell = changed;
    let told = false;
    let tree: string | undefined;
    const { store } = this.#options;
    void this.#run(claim, {
      tree: (id) => {
        tree = id;
      },
      say: (message) => {
        current = { state: "pending", message };
        tell();
      },
    }).then((last) => {
      current = last;
      tell();
    });
    return {
      get current(): Provision {
        if (current.state === "ready") return { ...current, told };
        if (current.state === "failed") return current;
        const message = (tree === undefined ? undefined : store.progress(tree)) ?? current.message;
        told ||= message !== undefined;
        return { state: "pending", message };
      },
      cancel() {
        tell = () => {};
      },
    };
  }

  async #run(claim: Claim, on: { tree(id: string): void; say(message: string): void }): Promise<Provision> {
    const { clock, database, log, store } = this.#options;
    let resolution: Resolution | undefined;
    for (let tries = 1; ; tries += 1) {
      try {
        let resolved = claim.spec?.resolvedPlugins ?? undefined;
        if (resolved === undefined) {
          const slow = clock.after(500, () =>
            on.say("Installing plugins: looking their names up in the registry"),
          );
          resolution ??= await this.#options.resolve(claim.spec?.plugins ?? []).finally(slow);
          if (resolution === undefined) return { state: "ready", told: false };
          const kept = await this.#keep(claim, resolution, on.say);
          if ("failure" in kept) return { state: "failed", failure: kept.failure };
          resolved = kept;
        }
        const { tree } = resolved;
        on.tree(tree);
        const known = resolution?.id === tree ? resolution.tree : undefined;
        const folder = await store.provide(tree, async () => known ?? (await database.tree(tree)));
        return { state: "ready", ...(folder !== undefined && { folder }), resolved, told: false };
      } catch (error) {
        const failure =
          error instanceof PluginError ? error.failure : explainNpm(error, "A plugin's packages");
        const passes =
          error instanceof NpmError || error instanceof PluginError ? isPassing(error, failure) : true;
        if (!passes || tries === TRIES) return { state: "failed", failure };
        log.warn("plugins could not be installed yet", {
          agentId: claim.agentId,
          error: errorMessage(error),
        });
        on.say(`Installing plugins: ${failure.message} It is tried again.`.slice(0, 1000));
        await new Promise<void>((resolve) => clock.after(BETWEEN_MS * tries, resolve));
      }
    }
  }

  /** Keeps the resolution with the revision; waits for the look-up of advisories before, where a rule wants them. */
  async #keep(
    claim: Claim,
    resolution: Resolution,
    say: (message: string) => void,
  ): Promise<ResolvedPlugins | { failure: Failure }> {
    const { clock, database } = this.#options;
    const until = clock.now() + LOOK_UP_MS;
    for (let pauseMs = 250; ; pauseMs = Math.min(2 * pauseMs, 2000)) {
      const answer = await database.record(claim, resolution);
      if (answer.accepted) return answer.resolved;
      if (answer.reason !== "ADVISORIES_DUE") {
        return { failure: { reason: "PLUGIN_NOT_ALLOWED", message: answer.message } };
      }
      const late = clock.now() > until ? "the function `upkeep` has not answered" : undefined;
      const why = answer.error ?? late;
      if (why !== undefined) {
        const message = `Operators want the known vulnerabilities of every package looked up, and this failed: ${why}. Restart the agent once it works.`;
        return { failure: { reason: "PLUGIN_NOT_ALLOWED", message } };
      }
      say("Installing plugins: looking up known vulnerabilities of their packages");
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
  }
}

function isPassing(error: NpmError | PluginError, failure: Failure): boolean {
  if (error instanceof NpmError) return PASSING.test(error.code);
  return (
    failure.reason === "PLUGIN_INSTALL_FAILED" &&
    PASSING.test(/\(([A-Z0-9_]+):/.exec(failure.message)?.[1] ?? "")
  );
}
