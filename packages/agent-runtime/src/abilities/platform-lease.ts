// Whether this replica holds the agent's platforms: of all replicas one does, by a lease in the project. Without a project it does.
import type { Credential } from "../credential.ts";
import type { Project } from "../project.ts";

export interface PlatformLeaseOptions {
  readonly agentId: string;
  readonly replica: string;
  readonly project: Project | undefined;
  readonly credential: Credential | undefined;
  /** Between two calls. */
  readonly everyMs?: number;
  /** How long the project keeps a lease that is not asked for again. */
  readonly leaseMs?: number;
  warn(message: string, facts?: Record<string, unknown>): void;
}

export interface PlatformLease {
  /** Asks for the first time; from then on the listener hears of each change. */
  start(onChange: (held: boolean) => void): Promise<boolean>;
  /** Gives the platforms back; the caller has closed its connections. */
  stop(): Promise<void>;
}

/** Makes the lease of one replica; nothing is asked before {@link PlatformLease.start}. */
export function createPlatformLease(options: PlatformLeaseOptions): PlatformLease {
  const { agentId, replica, project, credential, everyMs = 5_000, leaseMs = 30_000, warn } = options;
  let held = false;
  /** When the call was sent that last gave the lease: it lasts from then on at least. */
  let heldSince = 0;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const call = async (release: boolean): Promise<boolean> => {
    const args = { agent_id: agentId, credential: credential?.(), replica, release };
    return (await project?.call<{ held: boolean }>("hold_platforms", args))?.held ?? true;
  };

  /** Who cannot ask gives them up before another replica may have them: this one alone may be cut off. */
  async function ask(): Promise<void> {
    const asked = performance.now();
    try {
      held = await call(false);
      if (held) heldSince = asked;
    } catch (error) {
      warn("Which replica holds the platforms cannot be asked", { cause: String(error) });
      // The next call, and the time until it fails, would be too late.
      if (held && performance.now() - heldSince + 2 * everyMs >= leaseMs) held = false;
    }
  }

  return {
    async start(onChange) {
      if (project === undefined || credential === undefined) return true;
      await ask();
      const again = async () => {
        const before = held;
        await ask();
        if (stopped) return;
        if (held !== before) onChange(held);
        timer = setTimeout(again, everyMs).unref();
      };
      timer = setTimeout(again, everyMs).unref();
      return held;
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      if (held) await call(true).catch(() => undefined);
    },
  };
}
