// What the services of one project share: what was asked for, and what becomes known while they start.

import { join } from "node:path";
import type { AuthService } from "../auth/service.ts";
import type { AuthSettings } from "../config/auth-settings.ts";
import { readFunctionSettings } from "../config/function-settings.ts";
import type { DataDir } from "../data-dir.ts";
import type { Environment } from "../environment.ts";
import { type EdgeFunction, findFunctions } from "../functions/discover.ts";
import type { Graphql } from "../graphql/server.ts";
import type { StackKeys } from "../keys.ts";
import type { Logs } from "../logs.ts";
import { createMailbox, type Mailbox } from "../mailbox/mailbox.ts";
import { freePort } from "../ports.ts";
import type { Postgres } from "../postgres/server.ts";
import type { StorageService } from "../storage/service.ts";
import type { Guardian } from "../supervise/guardian.ts";
import type { RealtimeProcess } from "./realtime.ts";

export const HOST = "127.0.0.1";

/** A server of this machine. */
export interface Place {
  host: string;
  port: number;
}

/** What a program that builds on a project adds to its services; a plain project has none of it. */
export interface ProjectExtension {
  /** Looks at the database before migrations are pushed, such as to upgrade an old one. */
  beforeMigrations?: (server: Postgres, projectFolder: string) => Promise<void>;
  /** Called each time the database has its schema. */
  onSchema?: () => Promise<void>;
  /** Auth, where it differs from config.toml's [auth]. */
  auth?: {
    adjust: (settings: AuthSettings, gatewayUrl: string) => AuthSettings;
    hideAccounts: boolean;
  };
  /** Further variables of the functions, beside hosted's. */
  functionVariables?: (restUrl: string) => Record<string, string>;
  /** Paths below the project's folder that functions may read, beside themselves and their packages. */
  functionsRead?: readonly string[];
}

/** What is given. */
export interface ProjectFacts {
  /** The folder that holds supabase/. */
  projectFolder: string;
  /** The gateway's port; 0: any. */
  port: number;
  dbPort: number;
  environment: Environment;
  dataDir: DataDir;
  keys: StackKeys;
  guardian: Guardian;
  logs: Logs;
  /** What a person should see. */
  log: (message: string) => void;
  /** The state of each service by name. */
  health: () => Record<string, string>;
  extension: ProjectExtension;
}

/** The running parts; each is absent while it is down. */
export interface Live {
  postgres?: Postgres;
  auth?: AuthService;
  storage?: StorageService;
  graphql?: Graphql;
  realtime?: RealtimeProcess;
  rest?: Place;
  serviceRest?: Place;
  functions: Map<string, Place | "boot error" | undefined>;
}

export interface ProjectContext extends ProjectFacts {
  /** Addresses, empty until they are known. */
  state: { gatewayUrl: string; dbUrl: string };
  live: Live;
  functions: readonly EdgeFunction[];
  mailbox: Mailbox;
  /** Where PostgREST will be: functions start at the same time as it. */
  restPort: () => Promise<number>;
  /** Settles when the database first has its schema. */
  schemaReady: PromiseWithResolvers<void>;
}

/** The context of a project that has not started yet. */
export function createContext(facts: ProjectFacts): ProjectContext {
  const functions = findFunctions(
    join(facts.projectFolder, "supabase/functions"),
    readFunctionSettings(facts.projectFolder),
  );
  // Chosen before PostgREST starts, because the functions start at the same time and call it without a second hop through
  // the gateway (requests/s 0.92 of PostgREST's own against 0.73 through the gateway).
  let restPort: Promise<number> | undefined;
  return {
    ...facts,
    state: { gatewayUrl: "", dbUrl: "" },
    live: { functions: new Map(functions.map(({ name }) => [name, undefined])) },
    functions,
    mailbox: createMailbox(),
    restPort: () => (restPort ??= freePort(0, "another port")),
    schemaReady: Promise.withResolvers<void>(),
  };
}

/** A part that others need before they start. Throws where the plan forgot to wait for it. */
export function running<T>(part: T | undefined, name: string): T {
  if (part === undefined) throw new Error(`${name} does not run yet`);
  return part;
}
