// Starts a Supabase project on this machine: the library.

import { join, resolve } from "node:path";
import { type Environment, readEnvironment } from "./environment.ts";
import { s3Keys } from "./keys.ts";
import { mailboxAddress } from "./mailbox/access.ts";
import { runServices } from "./run.ts";
import { createContext, type ProjectContext, type ProjectExtension } from "./services/context.ts";
import { gatewayService } from "./services/gateway.ts";
import { planProject } from "./services/plan.ts";
import type { ServiceState } from "./supervise/supervisor.ts";

export interface LocalSupabaseOptions {
  /** The folder that holds supabase/. Default: the current one. */
  projectFolder?: string;
  /** The gateway's; 0, the default: any free port. */
  port?: number;
  /** Postgres's; 0, the default: any free port. */
  dbPort?: number;
  /** Where the data is kept. Absent: a temporary folder, deleted at the end. */
  dataDir?: string;
  /** Default: what `readEnvironment` takes of this process and of supabase/functions/.env. */
  environment?: Environment;
  extension?: ProjectExtension;
  /** What a person should see: a service that ended, what a function logs. Default: nothing is shown. */
  log?: (message: string) => void;
  onState?: (service: string, state: ServiceState) => void;
}

/** A running project. */
export interface LocalSupabase {
  /** For supabase-js and other clients. */
  url: string;
  publishableKey: string;
  /** May do everything; never for a browser. */
  secretKey: string;
  /** The database, as `postgres`. */
  dbUrl: string;
  /** The page with the mails that Auth sends. */
  mailboxUrl: string;
  /** For S3 clients at `<url>/storage/v1/s3`, region `local`: they may do everything. */
  s3: { accessKeyId: string; secretAccessKey: string };
  dataDir: string;
  /** Ends everything in order; safe to call again. */
  stop(): Promise<void>;
}

/**
 * Starts the project in a folder and returns when all of it is ready: its migrations and its seed are in the database.
 * Throws StackError (one sentence for a person) or another Error when it cannot start; nothing of it is left then.
 */
export async function startLocalSupabase(
  options: LocalSupabaseOptions = {},
  signal?: AbortSignal,
): Promise<LocalSupabase> {
  const projectFolder = resolve(options.projectFolder ?? ".");
  const { port = 0, dbPort = 0, log = () => {}, extension = {} } = options;
  const environment =
    options.environment ?? readEnvironment(process.env, join(projectFolder, "supabase/functions/.env"));
  let state: ProjectContext["state"] = { gatewayUrl: "", dbUrl: "" };
  const run = await runServices(
    { ...options, projectFolder, port, environment, log },
    (parts) => {
      const context = createContext({ ...parts, projectFolder, port, dbPort, environment, log, extension });
      ({ state } = context);
      return planProject(context, gatewayService(context));
    },
    signal,
  );
  const { keys, dataDir } = run;
  const { gatewayUrl: url, dbUrl } = state;
  await dataDir.announce({ apiUrl: url, dbUrl });
  const { accessKeyId, secretAccessKey } = s3Keys(keys);
  return {
    url,
    publishableKey: keys.publishableKey,
    secretKey: keys.secretKey,
    dbUrl,
    mailboxUrl: mailboxAddress(url, keys),
    s3: { accessKeyId, secretAccessKey },
    dataDir: dataDir.path,
    stop: () => run.stop(),
  };
}
