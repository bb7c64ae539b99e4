// The stack's services, their dependencies and how each one starts.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { type AuthService, startAuth } from "@agent-launchpad/local-supabase/auth/service.ts";
import { readFunctionSettings } from "@agent-launchpad/local-supabase/config/function-settings.ts";
import type { DataDir } from "@agent-launchpad/local-supabase/data-dir.ts";
import { findFunctions } from "@agent-launchpad/local-supabase/functions/discover.ts";
import { startGateway } from "@agent-launchpad/local-supabase/gateway/server.ts";
import { type Graphql, startGraphql } from "@agent-launchpad/local-supabase/graphql/server.ts";
import {
  respondSecret,
  type StackKeys,
  s3Keys,
  verifyingKeys,
} from "@agent-launchpad/local-supabase/keys.ts";
import type { Logs } from "@agent-launchpad/local-supabase/logs.ts";
import { createMailbox } from "@agent-launchpad/local-supabase/mailbox/mailbox.ts";
import { freePort } from "@agent-launchpad/local-supabase/ports.ts";
import { LOGIN_ROLES, type LoginRole } from "@agent-launchpad/local-supabase/postgres/credentials.ts";
import { prepareDatabase } from "@agent-launchpad/local-supabase/postgres/prepare.ts";
import { type Postgres, startPostgres } from "@agent-launchpad/local-supabase/postgres/server.ts";
import { startPostgrest } from "@agent-launchpad/local-supabase/postgrest.ts";
import { hostFunction } from "@agent-launchpad/local-supabase/services/functions.ts";
import {
  type RealtimeProcess,
  startRealtimeProcess,
} from "@agent-launchpad/local-supabase/services/realtime.ts";
import { type StorageService, startStorage } from "@agent-launchpad/local-supabase/storage/service.ts";
import { type Exit, endGroup } from "@agent-launchpad/local-supabase/supervise/child.ts";
import type { EndOrder, Guardian } from "@agent-launchpad/local-supabase/supervise/guardian.ts";
import type { ServiceSpec } from "@agent-launchpad/local-supabase/supervise/supervisor.ts";
import { startCronWorker } from "@agent-launchpad/local-supabase/workers/cron-worker.ts";
import { startNetWorker } from "@agent-launchpad/local-supabase/workers/net-worker.ts";
import type { StackOptions } from "../stack.ts";
import { putRespondTarget, putWebhookTarget } from "../vault.ts";
import { type HeartbeatOptions, startHeartbeat } from "../workers/platform-heartbeat.ts";
import { authSettings } from "./auth-settings.ts";
import { startController } from "./controller.ts";

/** What becomes known while the services start. */
export interface StackState {
  gatewayUrl: string;
  dbUrl: string;
  controllerUrl: string;
}

export interface PlanContext {
  options: StackOptions;
  root: string;
  dataDir: DataDir;
  keys: StackKeys;
  guardian: Guardian;
  logs: Logs;
  state: StackState;
  health: () => Record<string, string>;
}

type Live = {
  postgres?: Postgres;
  auth?: AuthService;
  storage?: StorageService;
  graphql?: Graphql;
  realtime?: RealtimeProcess;
  rest?: { host: string; port: number };
  serviceRest?: { host: string; port: number };
  functions: Map<string, { host: string; port: number } | "boot error" | undefined>;
  ingress?: { host: string; port: number };
};

const HOST = "127.0.0.1";
/** Of Storage, whatever a bucket allows. */
const LARGEST_FILE = 512 * 1024 * 1024;

function isLoginRole(role: string): role is LoginRole {
  return LOGIN_ROLES.some((known) => known === role);
}

/** How each part of the platform is asked whether it works. */
function probesOf(live: Live, { state }: PlanContext): HeartbeatOptions["probes"] {
  const served = async (path: string) => {
    const answer = await live.auth?.handler(new Request(new URL(path, state.gatewayUrl)));
    return { ok: answer !== undefined && answer.status < 500 };
  };
  return {
    auth: () => served("/auth/v1/settings"),
    storage: async () => ({ ok: (await live.storage?.isHealthy()) === true }),
    async realtime() {
      const connections = await live.realtime?.connections();
      return { ok: connections !== undefined, report: { connections: connections ?? 0 } };
    },
    async edge_functions() {
      const address = live.functions.get("api");
      if (!address || address === "boot error") return { ok: false };
      const url = `http://${address.host}:${address.port}/api/health`;
      return { ok: (await fetch(url, { method: "OPTIONS" })).ok };
    },
  };
}

/**
 * The services of the stack, who needs whom, and how each is started (again).
 * The gateway comes first, so that a taken port is known before any work is done; a stop goes the other way round:
 * the controller reports through the gateway until its end, Postgres goes last.
 */
export function planServices(context: PlanContext): ServiceSpec[] {
  const { options, root, dataDir, keys, guardian, logs, state } = context;
  const functions = findFunctions(join(root, "supabase/functions"), readFunctionSettings(root));
  const live: Live = { functions: new Map(functions.map(({ name }) => [name, undefined])) };
  const mailbox = createMailbox();
  const environment = options.environment;
  const controllerPorts = { port: 0, ingressPort: 0 };
  let dbPort = options.dbPort;
  // Chosen before PostgREST starts, because the functions start at the same time and call it without a second hop through
  // the gateway (requests/s 0.92 of PostgREST's own against 0.73 through the gateway).
  let chosenRestPort: Promise<number> | undefined;
  const schemaReady = Promise.withResolvers<void>();
  const restPort = () => (chosenRestPort ??= freePort(0, "another port"));

  /** The guardian learns of a process that its own module has started. */
  const watchOver = (order: EndOrder, pid: number) => {
    guardian.add(order, pid);
  };

  const gateway: ServiceSpec = {
    name: "gateway",
    needs: [],
    async start() {
      const started = await startGateway(options.port, {
        keys,
        mailbox,
        rest: () => live.rest,
        serviceRest: () => live.serviceRest,
        platform: () => live.auth?.handler,
        storage: () => live.storage,
        graphql: () => live.graphql?.handler,
        realtime: () => live.realtime,
        functions: (name) => (live.functions.has(name) ? live.functions.get(name) : "unknown"),
        verifiesTokens: (name) => functions.some((fn) => fn.name === name && fn.verifyJwt),
        agents: () => live.ingress,
        health: context.health,
      });
      state.gatewayUrl = started.url;
      return { stop: () => started.close() };
    },
  };

  const postgres: ServiceSpec = {
    name: "postgres",
    needs: [],
    async start() {
      const { promise: exited, resolve } = Promise.withResolvers<Exit>();
      const started = await startPostgres({
        dataDir: dataDir.path,
        port: dbPort,
        durable: !dataDir.ephemeral,
        extensionsFolder: options.environment.postgresExtensions,
        onExit: ({ code, signal }) => resolve({ code, signal }),
        onLog: (line) => logs.write("postgres", line),
      });
      watchOver("last", started.pid);
      dbPort = started.port; // a restart keeps it
      live.postgres = started;
      state.dbUrl = started.url("postgres");
      return { exited, stop: () => started.stop() };
    },
  };

  const schema: ServiceSpec = {
    name: "schema",
    needs: ["postgres", "gateway"],
    async start() {
      await prepareDatabase(live.postgres!, { upgrade: options.upgrade ?? false, log: options.log });
      await putRespondTarget(state.dbUrl, {
        functionsUrl: `${state.gatewayUrl}/functions/v1`,
        respondSecret: respondSecret(keys),
      });
      schemaReady.resolve();
      return { stop: async () => {} };
    },
  };

  /** PostgREST for users, and one for the secret key's calls: users' slow reads never take the platform's connections. */
  const postgrest = (name: string, place: "rest" | "serviceRest", pool: number): ServiceSpec => ({
    name,
    needs: ["schema"],
    async start() {
      delete live[place];
      const { promise: exited, resolve } = Promise.withResolvers<Exit>();
      const started = await startPostgrest({
        dbUrl: live.postgres!.url("authenticator"),
        jwtKeys: verifyingKeys(keys),
        pool,
        port: place === "rest" ? await restPort() : 0,
        onExit: ({ code, signal }) => resolve({ code, signal }),
        onLog: (line) => logs.write(name.replaceAll(" ", "-"), line),
      });
      watchOver("first", started.pid);
      live[place] = { host: HOST, port: started.port };
      return { exited, stop: () => started.stop() };
    },
  });
  const rest = postgrest("rest", "rest", 10);
  const serviceRest = postgrest("service rest", "serviceRest", 6);

  const auth: ServiceSpec = {
    name: "auth",
    needs: ["gateway", "postgres", "schema"],
    async start() {
      delete live.auth;
      const started = await startAuth({
        dbUrl: live.postgres!.url("supabase_lite"),
        keys,
        root,
        env: environment.functions,
        gatewayUrl: state.gatewayUrl,
        mailbox,
        adjust: (settings) => authSettings(settings, state.gatewayUrl),
        hideAccounts: true,
        log: options.log,
      });
      live.auth = started;
      return { stop: () => started.stop() };
    },
  };

  const storage: ServiceSpec = {
    name: "storage",
    needs: ["schema"],
    async start() {
      delete live.storage;
      const started = await startStorage({
        dbUrl: live.postgres!.url("supabase_lite"),
        jwtSecret: keys.jwtSecret,
        folder: dataDir.storage,
        fileSizeLimit: LARGEST_FILE,
        s3: s3Keys(keys),
      });
      live.storage = started;
      return { stop: () => started.stop() };
    },
  };

  const graphql: ServiceSpec = {
    name: "graphql",
    needs: ["schema"],
    async start() {
      const started = startGraphql({
        url: live.postgres!.url("authenticator"),
        jwtKeys: verifyingKeys(keys),
      });
      live.graphql = started;
      return { stop: () => started.stop() };
    },
  };

  const realtime: ServiceSpec = {
    name: "realtime",
    needs: ["gateway", "postgres"],
    async start(signal) {
      delete live.realtime;
      const server = live.postgres!;
      const started = await startRealtimeProcess({
        root,
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

  const workers: ServiceSpec = {
    name: "workers",
    needs: ["schema"],
    async start() {
      const server = live.postgres!;
      const onLog = (line: string) => logs.write("workers", line);
      const started = [
        startNetWorker({ url: server.superuserUrl, onLog }),
        startCronWorker({
          url: server.superuserUrl,
          onLog,
          connectionFor: (role, database) => (isLoginRole(role) ? server.url(role, database) : undefined),
        }),
        startHeartbeat({ url: server.superuserUrl, onLog, probes: probesOf(live, context) }),
      ];
      await Promise.all(started.map(({ ready }) => ready));
      return {
        async stop() {
          await Promise.all(started.map((worker) => worker.stop()));
        },
      };
    },
  };

  const edge = functions.map((fn): ServiceSpec => {
    const name = `function ${fn.name}`;
    return {
      name,
      needs: ["gateway"],
      async start(signal) {
        live.functions.set(fn.name, undefined);
        const log = (line: string) => {
          logs.write(`function-${fn.name}`, line);
        };
        return await hostFunction({
          fn,
          root,
          gatewayUrl: state.gatewayUrl,
          restUrl: `http://${HOST}:${await restPort()}`,
          keys,
          environment,
          guardian,
          log,
          signal,
          dbUrl: state.dbUrl,
          report: options.log,
          onState: (now) => live.functions.set(fn.name, now === "boot error" ? now : { host: HOST, ...now }),
        });
      },
    };
  });

  const controller: ServiceSpec = {
    name: "controller",
    // Agents that stop settle what they used through rest.
    needs: ["gateway", "rest", "service rest"],
    async start(signal) {
      delete live.ingress;
      const { child, port, ingressPort } = await startController({
        root,
        gatewayUrl: state.gatewayUrl,
        ports: controllerPorts,
        cluster: options.cluster,
        ephemeral: dataDir.ephemeral,
        stateDir: dataDir.controller,
        keys,
        environment,
        guardian,
        log: (line) => logs.write("controller", line),
        signal,
      });
      Object.assign(controllerPorts, { port, ingressPort }); // a restart keeps them: webhooks and agents' URLs stay
      live.ingress = { host: HOST, port: ingressPort };
      state.controllerUrl = `http://${HOST}:${port}`;
      // Agents end on their own when their controller is gone; what does not is ended here.
      void child.exited.then(() => endGroup(child.pid, 3000));
      await putWebhookTarget(state.dbUrl, {
        controllerUrl: state.controllerUrl,
        webhookSecret: keys.webhookSecret,
      });
      return { exited: child.exited, stop: () => child.stop() };
    },
  };
  const hasController = existsSync(join(root, "packages/controller/src/main.ts"));

  return [
    gateway,
    postgres,
    schema,
    rest,
    serviceRest,
    auth,
    storage,
    graphql,
    realtime,
    workers,
    ...edge,
    ...(hasController ? [controller] : []),
  ];
}
