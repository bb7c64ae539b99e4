// Realtime as a process of its own: started, asked for its health, and given the sockets of its clients.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Environment } from "../environment.ts";
import { refuseUpgrade } from "../gateway/upgrade.ts";
import { type StackKeys, verifyingKeys } from "../keys.ts";
import { handOver } from "../realtime/handover.ts";
import { LIMITS_SETTING, SETTINGS, type Settings } from "../realtime/settings.ts";
import type { Child } from "../supervise/child.ts";
import type { Guardian } from "../supervise/guardian.ts";
import type { ServiceSpec } from "../supervise/supervisor.ts";
import { type ProjectContext, running } from "./context.ts";
import { readyEvent, startReadyChild } from "./ready-child.ts";

const MAIN = fileURLToPath(new URL("../realtime/main.ts", import.meta.url));

/** V8's heap ends the process beyond this; what waits for slow readers lies outside and has limits of its own. */
const HEAP_MB = 256;

export interface RealtimeProcessOptions {
  root: string;
  urls: Settings["urls"];
  keys: StackKeys;
  environment: Environment;
  guardian: Guardian;
  log: (line: string) => void;
  /** Settles when the database has its schema; the process loads meanwhile. */
  schema: Promise<void>;
  signal: AbortSignal;
}

/** A running Realtime process as the gateway and the health report see it. */
export interface RealtimeProcess {
  child: Child;
  address: { host: string; port: number };
  /** Hands a client's socket over; the gateway has checked the key, whose role is `role`. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, role: string): void;
  /** How many sockets are open now. Throws when the process does not answer. */
  connections(): Promise<number>;
}

/** Starts the process and waits until it serves. Throws when it cannot start. */
export async function startRealtimeProcess(options: RealtimeProcessOptions): Promise<RealtimeProcess> {
  const { keys, urls, environment, root } = options;
  const { publishableKey, secretKey } = keys;
  const settings: Settings = { urls, keys: { publishableKey, secretKey, jwtKeys: verifyingKeys(keys) } };
  const limits = environment.realtimeLimits;
  const { child, ready } = await startReadyChild(
    {
      name: "realtime",
      command: process.execPath,
      // The space for young objects stays small, as in the stack's own process: 10 MB less while it waits.
      args: [`--max-old-space-size=${HEAP_MB}`, "--max-semi-space-size=4", MAIN],
      cwd: root,
      env: {
        ...environment.machine,
        [SETTINGS]: JSON.stringify(settings),
        ...(limits === undefined ? {} : { [LIMITS_SETTING]: limits }),
      },
      ipc: true,
      stop: [{ signal: "SIGTERM", graceMs: 2000 }],
    },
    {
      guardian: options.guardian,
      parse: (line) => readyEvent(line)?.port,
      log: options.log,
      onStart({ process }) {
        void options.schema.then(() => process.connected && process.send({ kind: "begin" }));
      },
      timeoutMs: 60_000,
      signal: options.signal,
    },
  );
  const address = { host: "127.0.0.1", port: Number(ready) };
  return {
    child,
    address,
    upgrade(request, socket, head, role) {
      socket.on("error", () => socket.destroy());
      if (!handOver(child.process, request, socket, head, role))
        refuseUpgrade(socket, 503, "SERVICE_UNAVAILABLE", "Realtime is not reachable at the moment");
    },
    async connections() {
      const answer = await fetch(`http://${address.host}:${address.port}/api/connections`, {
        headers: { apikey: secretKey },
        signal: AbortSignal.timeout(2000),
      });
      const { connections } = (await answer.json()) as { connections: number };
      return connections;
    },
  };
}

/** The service `realtime`. It loads while the database gets its schema. */
export function realtimeService(context: ProjectContext): ServiceSpec {
  const { projectFolder, keys, environment, guardian, logs, live, schemaReady } = context;
  return {
    name: "realtime",
    needs: ["gateway", "postgres"],
    async start(signal) {
      delete live.realtime;
      const server = running(live.postgres, "postgres");
      const started = await startRealtimeProcess({
        root: projectFolder,
        urls: { admin: server.url("supabase_realtime_admin"), api: server.url("authenticator") },
        keys,
        environment,
        guardian,
        log: (line) => logs.write("realtime", line),
        schema: schemaReady.promise,
        signal,
      });
      live.realtime = started;
      const { child } = started;
      void child.exited.then(() => {
        if (live.realtime === started) delete live.realtime;
      });
      return { exited: child.exited, stop: () => child.stop() };
    },
  };
}
