// Runs the services of a project on one data folder: opens and locks it, starts what is planned, ends all of it.

import { readConfig } from "./config/read-config.ts";
import { withSigningKeys } from "./config/signing-keys.ts";
import { type DataDir, openDataDir } from "./data-dir.ts";
import { fullDisk } from "./disk.ts";
import type { Environment } from "./environment.ts";
import { reasonOf } from "./errors.ts";
import { loadKeys, type StackKeys } from "./keys.ts";
import { type Logs, openLogs } from "./logs.ts";
import { freePort } from "./ports.ts";
import { type Guardian, startGuardian } from "./supervise/guardian.ts";
import { type ServiceSpec, type ServiceState, Supervisor } from "./supervise/supervisor.ts";

export interface RunOptions {
  /** The gateway's; 0: any. */
  port: number;
  /** The folder that holds supabase/. */
  projectFolder: string;
  environment: Environment;
  /** Absent: a temporary folder, deleted at the end. */
  dataDir?: string;
  /** Folders in it whose programs may have accounts of their own. */
  passages?: readonly string[];
  /** Make new keys where keys.json is lost though the database is there. */
  newKeys?: boolean;
  /** What a person should see: a service that died, what a function logs. */
  log: (message: string) => void;
  onState?: (service: string, state: ServiceState) => void;
}

/** What a plan is made from. */
export interface RunParts {
  dataDir: DataDir;
  keys: StackKeys;
  guardian: Guardian;
  logs: Logs;
  /** The state of each service by name. */
  health: () => Record<string, string>;
}

export interface Run {
  dataDir: DataDir;
  keys: StackKeys;
  /** Ends everything in order; safe to call again. */
  stop(): Promise<void>;
}

/**
 * Starts the services of a plan and returns when all of them are ready. Throws StackError (one sentence for a person) or
 * another Error when one cannot start; nothing is left then.
 * @param plan gives the services
 */
export async function runServices(
  options: RunOptions,
  plan: (parts: RunParts) => ServiceSpec[],
  signal?: AbortSignal,
): Promise<Run> {
  const dataDir = await openDataDir(options.dataDir, { passages: options.passages ?? [] });
  let guardian: Guardian | undefined;
  try {
    // Before anything starts; the folder first, because a stack that runs there is the better answer.
    if (options.port !== 0) await freePort(options.port, "--port");
    guardian = startGuardian((pid) => {
      options.log("the guardian process ended; another watches over this stack now");
      dataDir.nameGuardian(pid).catch((error: unknown) => {
        options.log(`the guardian could not be written into the lock: ${reasonOf(error)}`);
      });
    });
    await dataDir.nameGuardian(guardian.pid);
    if (dataDir.ephemeral) guardian.removeAfterwards(dataDir.path);
    return await startAll(options, plan, { dataDir, guardian }, signal);
  } catch (error) {
    const full = signal?.aborted ? undefined : await fullDisk(dataDir.path, error);
    await dataDir.release().finally(() => guardian?.release());
    throw full ?? error;
  }
}

async function startAll(
  options: RunOptions,
  plan: (parts: RunParts) => ServiceSpec[],
  { dataDir, guardian }: Pick<RunParts, "dataDir" | "guardian">,
  signal: AbortSignal | undefined,
): Promise<Run> {
  const full = await fullDisk(dataDir.path);
  if (full) throw full;
  const { projectFolder, environment } = options;
  const config = await readConfig(projectFolder, environment.functions);
  const kept = await loadKeys(dataDir.path, { replaceLost: options.newKeys ?? false });
  const keys = await withSigningKeys(kept, projectFolder, config.auth.signing_keys_path);
  const logs = openLogs(dataDir.logs);
  const supervisor = new Supervisor({
    log(message) {
      logs.write("stack", `${new Date().toISOString()} ${message}`);
      options.log(message);
      if (/ ended \(/.test(message)) void tellFullDisk();
    },
    ...(options.onState ? { onState: options.onState } : {}),
  });
  /** What ends over and over on a full disk does not say why. */
  const tellFullDisk = async () => {
    const full = await fullDisk(dataDir.path);
    if (full) options.log(full.message);
  };
  const stopServices = async () => {
    await supervisor.stop();
    await logs.close();
  };
  const onAbort = () => void supervisor.stop();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    await supervisor.start(plan({ dataDir, keys, guardian, logs, health: () => supervisor.states() }));
    signal?.throwIfAborted();
  } catch (error) {
    await stopServices();
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  let stopped: Promise<void> | undefined;
  return {
    dataDir,
    keys,
    stop() {
      stopped ??= stopServices().then(async () => {
        // The guardian last: if this process is cut off, it deletes what is left of a temporary folder.
        await dataDir.release().finally(() => guardian.release());
      });
      return stopped;
    },
  };
}
