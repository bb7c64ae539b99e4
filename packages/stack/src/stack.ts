// Starts and stops the whole stack.

import { fileURLToPath } from "node:url";
import { readConfig } from "@agent-launchpad/local-supabase/config/read-config.ts";
import { withSigningKeys } from "@agent-launchpad/local-supabase/config/signing-keys.ts";
import { type DataDir, openDataDir } from "@agent-launchpad/local-supabase/data-dir.ts";
import { fullDisk } from "@agent-launchpad/local-supabase/disk.ts";
import type { Environment } from "@agent-launchpad/local-supabase/environment.ts";
import { reasonOf } from "@agent-launchpad/local-supabase/errors.ts";
import { loadKeys, s3Keys } from "@agent-launchpad/local-supabase/keys.ts";
import { openLogs } from "@agent-launchpad/local-supabase/logs.ts";
import { mailboxAddress } from "@agent-launchpad/local-supabase/mailbox/access.ts";
import { freePort } from "@agent-launchpad/local-supabase/ports.ts";
import { type Guardian, startGuardian } from "@agent-launchpad/local-supabase/supervise/guardian.ts";
import { type ServiceState, Supervisor } from "@agent-launchpad/local-supabase/supervise/supervisor.ts";
import { planServices, type StackState } from "./services/plan.ts";

/** The repository: migrations, functions and the other packages are found from here. */
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

export interface StackOptions {
  /** 0: any free port. */
  port: number;
  dbPort: number;
  /** Absent: a temporary folder, deleted when the stack stops. */
  dataDir?: string;
  /** Where agents run: child processes of this machine, or the cluster that a kubeconfig file names. */
  cluster: "processes" | KubernetesTarget;
  environment: Environment;
  /** Make new keys where keys.json is lost though the database is there. */
  newKeys?: boolean;
  /** Change the schema of a database that an older checkout made; its data stays. */
  upgrade?: boolean;
  /** What a person should see: a service that died, what a function logs. */
  log: (message: string) => void;
  onState?: (service: string, state: ServiceState) => void;
}

/** A Kubernetes cluster as kubectl would reach it. */
export interface KubernetesTarget {
  /** Absolute path of the file. */
  kubeconfig: string;
  /** Absent: the file's current one. */
  context?: string;
}

/** Where a running stack is reached; the line that `--json` prints. */
export interface StackUrls {
  apiUrl: string;
  dbUrl: string;
  publishableKey: string;
  secretKey: string;
  functionsUrl: string;
  realtimeUrl: string;
  storageUrl: string;
  /** For S3 clients at `<storageUrl>/s3`, region `local`: they may do everything. */
  s3AccessKeyId: string;
  s3SecretAccessKey: string;
  mailboxUrl: string;
  controllerUrl: string;
}

export interface Stack {
  urls: StackUrls;
  dataDir: string;
  /** Ends everything in order; safe to call again. */
  stop(): Promise<void>;
}

/**
 * Starts the embedded stack and returns when all of it is ready. Throws StackError (one sentence for a person) or
 * another Error when it cannot; nothing of it is left then.
 */
export async function startStack(options: StackOptions, signal?: AbortSignal): Promise<Stack> {
  const dataDir = await openDataDir(options.dataDir);
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
    return await startServices(options, dataDir, guardian, signal);
  } catch (error) {
    const full = signal?.aborted ? undefined : await fullDisk(dataDir.path, error);
    await dataDir.release().finally(() => guardian?.release());
    throw full ?? error;
  }
}

async function startServices(
  options: StackOptions,
  dataDir: DataDir,
  guardian: Guardian,
  signal: AbortSignal | undefined,
): Promise<Stack> {
  const full = await fullDisk(dataDir.path);
  if (full) throw full;
  const config = await readConfig(ROOT, options.environment.functions);
  const kept = await loadKeys(dataDir.path, { replaceLost: options.newKeys ?? false });
  const keys = await withSigningKeys(kept, ROOT, config.auth.signing_keys_path);
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
  const state: StackState = { gatewayUrl: "", dbUrl: "", controllerUrl: "" };
  const plan = planServices({
    options,
    root: ROOT,
    dataDir,
    keys,
    guardian,
    logs,
    state,
    health: () => supervisor.states(),
  });
  const stopServices = async () => {
    await supervisor.stop();
    await logs.close();
  };
  const onAbort = () => void supervisor.stop();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    signal?.throwIfAborted();
    await supervisor.start(plan);
    signal?.throwIfAborted();
  } catch (error) {
    await stopServices();
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }

  let stopped: Promise<void> | undefined;
  const { gatewayUrl } = state;
  await dataDir.announce({ apiUrl: gatewayUrl, dbUrl: state.dbUrl });
  return {
    dataDir: dataDir.path,
    urls: {
      apiUrl: gatewayUrl,
      dbUrl: state.dbUrl,
      publishableKey: keys.publishableKey,
      secretKey: keys.secretKey,
      functionsUrl: `${gatewayUrl}/functions/v1`,
      realtimeUrl: `${gatewayUrl.replace("http", "ws")}/realtime/v1`,
      storageUrl: `${gatewayUrl}/storage/v1`,
      s3AccessKeyId: s3Keys(keys).accessKeyId,
      s3SecretAccessKey: s3Keys(keys).secretAccessKey,
      mailboxUrl: mailboxAddress(gatewayUrl, keys),
      controllerUrl: state.controllerUrl,
    },
    stop() {
      stopped ??= stopServices().then(async () => {
        // The guardian last: if this process is cut off, it deletes what is left of a temporary folder.
        await dataDir.release().finally(() => guardian.release());
      });
      return stopped;
    },
  };
}
