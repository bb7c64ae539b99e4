// The services of the stack: those of a Supabase project, and what is Agent Launchpad's own.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { RunParts } from "@agent-launchpad/local-supabase/run.ts";
import {
  createContext,
  HOST,
  type Place,
  type ProjectContext,
  running,
} from "@agent-launchpad/local-supabase/services/context.ts";
import { gatewayService } from "@agent-launchpad/local-supabase/services/gateway.ts";
import { planProject } from "@agent-launchpad/local-supabase/services/plan.ts";
import { endGroup } from "@agent-launchpad/local-supabase/supervise/child.ts";
import type { ServiceSpec } from "@agent-launchpad/local-supabase/supervise/supervisor.ts";
import { createGatewayExtension } from "../gateway/extension.ts";
import { respondSecret } from "../secrets.ts";
import type { StackOptions } from "../stack.ts";
import { upgradeBefore } from "../upgrade/before-migrations.ts";
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

export interface StackPlan {
  services: ServiceSpec[];
  /** Filled while they start. */
  state: StackState;
}

/** The plan of the stack. Agents settle what they used through rest, so the controller stops before it. */
export function planStack(options: StackOptions, root: string, parts: RunParts): StackPlan {
  const { keys } = parts;
  const context = createContext({
    ...parts,
    projectFolder: root,
    port: options.port,
    dbPort: options.dbPort,
    environment: options.environment,
    log: options.log,
    extension: {
      beforeMigrations: upgradeBefore(options.upgrade ?? false, options.log),
      onSchema: async () =>
        await putRespondTarget(context.state.dbUrl, {
          functionsUrl: `${context.state.gatewayUrl}/functions/v1`,
          respondSecret: respondSecret(keys),
        }),
      functionVariables: (restUrl) => ({
        LAUNCHPAD_REST_URL: restUrl,
        LAUNCHPAD_RESPOND_SECRET: respondSecret(keys),
      }),
      auth: { adjust: authSettings, hideAccounts: true },
      functionsRead: ["packages"],
    },
  });
  const state: StackState = Object.assign(context.state, { controllerUrl: "" });
  const agents: { ingress?: Place } = {};
  const services = [
    ...planProject(
      context,
      gatewayService(context, () =>
        createGatewayExtension({ keys, rest: () => context.live.serviceRest, agents: () => agents.ingress }),
      ),
    ),
    heartbeatService(context),
  ];
  if (existsSync(join(root, "packages/controller/src/main.ts")))
    services.push(controllerService(options, root, context, state, agents));
  return { services, state };
}

/** Tells the database which parts of the platform work. */
function heartbeatService(context: ProjectContext): ServiceSpec {
  const { live, logs } = context;
  return {
    name: "heartbeat",
    needs: ["schema"],
    async start() {
      const started = startHeartbeat({
        url: running(live.postgres, "postgres").superuserUrl,
        onLog: (line) => logs.write("workers", line),
        probes: probesOf(context),
      });
      await started.ready;
      return { stop: () => started.stop() };
    },
  };
}

/** How each part of the platform is asked whether it works. */
function probesOf({ live, state }: ProjectContext): HeartbeatOptions["probes"] {
  return {
    async auth() {
      const answer = await live.auth?.handler(new Request(new URL("/auth/v1/settings", state.gatewayUrl)));
      return { ok: answer !== undefined && answer.status < 500 };
    },
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

function controllerService(
  options: StackOptions,
  root: string,
  { dataDir, keys, guardian, logs }: ProjectContext,
  state: StackState,
  agents: { ingress?: Place },
): ServiceSpec {
  const ports = { port: 0, ingressPort: 0 };
  return {
    name: "controller",
    // Agents that stop settle what they used through rest.
    needs: ["gateway", "rest", "service rest"],
    async start(signal) {
      delete agents.ingress;
      const { child, port, ingressPort } = await startController({
        root,
        gatewayUrl: state.gatewayUrl,
        ports,
        cluster: options.cluster,
        ephemeral: dataDir.ephemeral,
        stateDir: join(dataDir.path, CONTROLLER_FOLDER),
        keys,
        environment: options.environment,
        guardian,
        log: (line) => logs.write("controller", line),
        signal,
      });
      Object.assign(ports, { port, ingressPort }); // a restart keeps them: webhooks and agents' URLs stay
      agents.ingress = { host: HOST, port: ingressPort };
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
}

/** Of the controller, in the data folder. */
export const CONTROLLER_FOLDER = "controller";
