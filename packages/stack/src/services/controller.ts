// Starts the controller.

import { join } from "node:path";
import type { StackKeys } from "@agent-launchpad/local-supabase/keys.ts";
import { readyEvent, startReadyChild } from "@agent-launchpad/local-supabase/services/ready-child.ts";
import type { Child } from "@agent-launchpad/local-supabase/supervise/child.ts";
import type { Guardian } from "@agent-launchpad/local-supabase/supervise/guardian.ts";
import { z } from "zod";
import type { Environment } from "../environment.ts";
import type { StackOptions } from "../stack.ts";

function clusterSettings({ cluster, ephemeral }: ControllerOptions): Record<string, string> {
  if (cluster === "processes") return { LAUNCHPAD_CLUSTER: "processes" };
  return {
    LAUNCHPAD_CLUSTER: "kubernetes",
    LAUNCHPAD_KUBECONFIG: cluster.kubeconfig,
    ...(cluster.context === undefined ? {} : { LAUNCHPAD_KUBE_CONTEXT: cluster.context }),
    LAUNCHPAD_REMOVE_AT_END: String(ephemeral),
  };
}

const Ready = z.object({ port: z.number().int().positive(), ingressPort: z.number().int().positive() });

export interface ControllerOptions {
  root: string;
  gatewayUrl: string;
  /** The ports of an earlier life (kept over a restart), or 0. */
  ports: { port: number; ingressPort: number };
  cluster: StackOptions["cluster"];
  /** Nothing is kept of this stack: neither is what it made in a cluster. */
  ephemeral: boolean;
  stateDir: string;
  keys: StackKeys;
  environment: Environment;
  guardian: Guardian;
  log: (line: string) => void;
  signal: AbortSignal;
}

/**
 * Starts the controller and waits for its ready line. Returns the process and its two ports (webhooks and health;
 * the agents' ingress). Throws when it cannot start.
 */
export async function startController(
  options: ControllerOptions,
): Promise<{ child: Child; port: number; ingressPort: number }> {
  const gateway = new URL(options.gatewayUrl);
  const { child, ready } = await startReadyChild(
    {
      name: "controller",
      command: process.execPath,
      args: ["--max-semi-space-size=1", join(options.root, "packages/controller/src/main.ts")],
      cwd: options.root,
      env: {
        ...options.environment.machine,
        ...options.environment.provider,
        ...options.environment.controller,
        NODE_COMPILE_CACHE: join(options.root, ".cache", "node"),
        LAUNCHPAD_SUPABASE_URL: options.gatewayUrl,
        LAUNCHPAD_SECRET_KEY: options.keys.secretKey,
        LAUNCHPAD_PUBLISHABLE_KEY: options.keys.publishableKey,
        LAUNCHPAD_WEBHOOK_SECRET: options.keys.webhookSecret,
        LAUNCHPAD_HOST: "127.0.0.1",
        LAUNCHPAD_PORT: String(options.ports.port),
        LAUNCHPAD_INGRESS_PORT: String(options.ports.ingressPort),
        ...clusterSettings(options),
        LAUNCHPAD_STATE_DIR: options.stateDir,
        LAUNCHPAD_AGENT_URL_TEMPLATE: `http://{agentId}.agents.localhost:${gateway.port}`,
        LAUNCHPAD_AGENT_PATH_TEMPLATE: `${gateway.origin}/agents/{agentId}`,
      },
      stop: [{ signal: "SIGTERM", graceMs: 2500 }],
    },
    {
      guardian: options.guardian,
      parse: (line) => readyEvent(line),
      log: options.log,
      timeoutMs: 20_000,
      signal: options.signal,
    },
  );
  const ports = Ready.safeParse(ready);
  if (ports.success) return { child, ...ports.data };
  await child.stop();
  throw new Error(`controller did not start: its ready line names no ports (${JSON.stringify(ready)})`);
}
