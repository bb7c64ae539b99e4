// Starts an edge function in its own Deno process.

import { randomUUID } from "node:crypto";
import { existsSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Environment } from "../environment.ts";
import { reasonOf } from "../errors.ts";
import { type EdgeFunction, findDeno } from "../functions/discover.ts";
import { publicPart } from "../jwt-keys.ts";
import type { StackKeys } from "../keys.ts";
import type { Child, Exit } from "../supervise/child.ts";
import type { Guardian } from "../supervise/guardian.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { HOST as ADDRESS, type ProjectContext } from "./context.ts";
import { readyEvent, startReadyChild } from "./ready-child.ts";

const HOST = fileURLToPath(new URL("../functions/serve.ts", import.meta.url));

export interface FunctionOptions {
  fn: EdgeFunction;
  root: string;
  gatewayUrl: string;
  /** Further variables, beside hosted's. */
  variables?: Record<string, string>;
  /** Paths below the project's folder that it may read, beside the functions and their packages. */
  read?: readonly string[];
  /** A connection to the database as `postgres`. */
  dbUrl: string;
  keys: StackKeys;
  environment: Environment;
  guardian: Guardian;
  log: (line: string) => void;
  signal: AbortSignal;
}

/**
 * Starts one edge function in its own Deno process, with the variables that hosted injects and its own deno.json.
 * It may use the network and read the functions and installed packages; nothing else of this machine.
 * Returns the process and the port it listens on. Throws when the function cannot start.
 */
export async function startFunction(options: FunctionOptions): Promise<{ child: Child; port: number }> {
  const { fn, root, keys } = options;
  const config = fn.config ? ["--config", fn.config] : ["--no-config"];
  const readable = [
    dirname(dirname(fn.entry)),
    join(root, "node_modules"),
    join(root, "package.json"),
    ...(options.read ?? []).map((path) => join(root, path)),
  ];
  const { child, ready } = await startReadyChild(
    {
      name: `function ${fn.name}`,
      command: findDeno(),
      args: [
        "run",
        ...config,
        ...(fn.importMap ? ["--import-map", fn.importMap] : []),
        ...packagesOf(root),
        "--no-lock",
        "--no-prompt",
        "--quiet",
        "--v8-flags=--max-old-space-size=256", // hosted's limit
        "--allow-net",
        "--allow-env",
        "--allow-sys=hostname", // a part of the AI SDK asks for it while it loads
        `--allow-read=${readable.join(",")}`,
        HOST,
        fn.entry,
      ],
      cwd: root,
      env: {
        ...options.environment.machine,
        ...options.environment.functions,
        DENO_DIR: join(root, ".cache", "deno"),
        DENO_NO_UPDATE_CHECK: "1",
        NO_COLOR: "1",
        SUPABASE_URL: options.gatewayUrl,
        SUPABASE_DB_URL: options.dbUrl,
        SUPABASE_JWKS: JSON.stringify({ keys: keys.signingKeys.map(publicPart) }),
        SB_REGION: "local",
        SB_EXECUTION_ID: randomUUID(),
        DENO_DEPLOYMENT_ID: `local_${fn.name}_1`,
        SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishableKey }),
        SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secretKey }),
        SUPABASE_ANON_KEY: keys.publishableKey,
        SUPABASE_SERVICE_ROLE_KEY: keys.secretKey,
        ...options.variables,
      },
      stop: [{ signal: "SIGTERM", graceMs: 500 }],
    },
    {
      guardian: options.guardian,
      parse: (line) => readyEvent(line)?.port,
      log: options.log,
      timeoutMs: 20_000,
      signal: options.signal,
    },
  );
  return { child, port: Number(ready) };
}

/** Where a function listens, or that it does not load. */
export type FunctionState = { port: number } | "boot error";

/**
 * The same, as a service that a stack can start with: a function that does not load is said and waits for a change of the
 * functions' files, as `supabase functions serve` does. The others, and the stack, do without it.
 */
export async function hostFunction(
  options: FunctionOptions & { onState: (state: FunctionState) => void; report: (message: string) => void },
): Promise<{ exited: Promise<Exit>; stop(): Promise<void> }> {
  const { fn, signal } = options;
  try {
    const { child, port } = await startFunction(options);
    options.onState({ port });
    return { exited: child.exited, stop: () => child.stop() };
  } catch (error) {
    if (signal.aborted) throw error;
    options.onState("boot error");
    options.report(
      `${reasonOf(error)}. /functions/v1/${fn.name} answers 503 until its files are mended; everything else runs.`,
    );
    const { promise: exited, resolve } = Promise.withResolvers<Exit>();
    const watcher = watch(dirname(dirname(fn.entry)), { recursive: true }, () => {
      watcher.close();
      resolve({ code: null, signal: null, error: "its files changed" });
    });
    watcher.on("error", () => watcher.close());
    return { exited, stop: async () => watcher.close() };
  }
}

/** Where the project has its packages installed, nothing is downloaded at a start; else Deno fetches what is imported. */
function packagesOf(root: string): string[] {
  return existsSync(join(root, "node_modules"))
    ? ["--node-modules-dir=manual", "--no-remote"]
    : ["--node-modules-dir=none"];
}

/** One service for each function of the project. */
export function functionServices(context: ProjectContext): ServiceSpec[] {
  const { projectFolder, functions, keys, environment, guardian, logs, live, state, extension } = context;
  return functions.map((fn) => ({
    name: `function ${fn.name}`,
    needs: ["gateway"],
    async start(signal) {
      live.functions.set(fn.name, undefined);
      const restUrl = `http://${ADDRESS}:${await context.restPort()}`;
      return await hostFunction({
        fn,
        root: projectFolder,
        gatewayUrl: state.gatewayUrl,
        keys,
        environment,
        guardian,
        variables: extension.functionVariables?.(restUrl) ?? {},
        read: extension.functionsRead ?? [],
        log: (line) => logs.write(`function-${fn.name}`, line),
        signal,
        dbUrl: state.dbUrl,
        report: context.log,
        onState: (now) => live.functions.set(fn.name, now === "boot error" ? now : { host: ADDRESS, ...now }),
      });
    },
  }));
}
