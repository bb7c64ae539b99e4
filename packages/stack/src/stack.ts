// Starts and stops the whole stack.

import { fileURLToPath } from "node:url";
import { s3Keys } from "@agent-launchpad/local-supabase/keys.ts";
import { mailboxAddress } from "@agent-launchpad/local-supabase/mailbox/access.ts";
import { runServices } from "@agent-launchpad/local-supabase/run.ts";
import type { ServiceState } from "@agent-launchpad/local-supabase/supervise/supervisor.ts";
import type { Environment } from "./environment.ts";
import { CONTROLLER_FOLDER, planStack, type StackState } from "./services/plan.ts";

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
  let state: StackState = { gatewayUrl: "", dbUrl: "", controllerUrl: "" };
  const run = await runServices(
    { ...options, projectFolder: ROOT, passages: [CONTROLLER_FOLDER] },
    (parts) => {
      const plan = planStack(options, ROOT, parts);
      state = plan.state;
      return plan.services;
    },
    signal,
  );
  const { keys, dataDir } = run;
  const { gatewayUrl, dbUrl } = state;
  await dataDir.announce({ apiUrl: gatewayUrl, dbUrl });
  return {
    dataDir: dataDir.path,
    urls: {
      apiUrl: gatewayUrl,
      dbUrl,
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
    stop: () => run.stop(),
  };
}
