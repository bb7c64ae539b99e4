// Puts a controller together and starts it; the one place where its parts meet.

import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import { systemClock } from "./clock.ts";
import { createCluster, type RunningCluster } from "./cluster/create.ts";
import type { Config } from "./config.ts";
import { createDatabase } from "./database.ts";
import { FleetGuard } from "./fleet/guard.ts";
import { IdleWatch } from "./idle/watch.ts";
import { Door } from "./ingress/door.ts";
import { createIngress, type Ingress } from "./ingress/ingress.ts";
import { waker } from "./ingress/wake.ts";
import { createInstruments } from "./instruments.ts";
import { errorMessage, type Log } from "./log.ts";
import { Controller } from "./loop/controller.ts";
import { MemoryWatch, memoryLimit } from "./memory-watch.ts";
import { Peers } from "./peers.ts";
import { openPlugins, type Plugins } from "./plugins/create.ts";
import { createPluginDatabase } from "./plugins/database.ts";
import { createSetServer } from "./plugins/set-server.ts";
import { createControllerServer } from "./server.ts";
import { Telemetry } from "./shipping/telemetry.ts";
import { takeStateDirectory } from "./state-directory.ts";
import { VERSION } from "./version.ts";

/** A running controller. */
export interface App {
  port: number;
  ingressPort: number;
  worker: string;
  /** Ends the agents, gives the leases back, ships what it can. Never throws. */
  stop(): Promise<void>;
}

/** How long the database may take over a last call when the controller stops: whoever stops it waits. */
const LAST_CALL_MS = 1000;

/**
 * Starts the controller: takes the state directory, ends leftovers, listens, and begins to claim.
 * @throws {Error} one sentence a person can act on: the directory is taken, a port is in use, the cluster cannot be reached
 */
export async function startApp(config: Config, log: Log): Promise<App> {
  const state = takeStateDirectory(config.stateDir);
  let ingress: Ingress | undefined;
  let server: Server | undefined;
  let cluster: RunningCluster | undefined;
  let holder: Controller | undefined;
  let idle: IdleWatch | undefined;
  let plugins: Plugins | undefined;
  let sets: Server | undefined;
  try {
    const clock = systemClock;
    const random = Math.random;
    const instruments = createInstruments(config.kubernetes?.installation);
    const database = createDatabase({
      url: config.supabaseUrl,
      key: config.secretKey,
      // Short of a lease: a call that hangs must not keep the heartbeat from its next try.
      timeoutMs: Math.min(10_000, (config.leaseSeconds * 1000) / 3),
      onCall: instruments.onCall,
    });
    const guard = new FleetGuard({ clock, log, note: (note) => cluster?.note?.(note) });
    const classOf = (agentId: string) => holder?.reconciler.held.get(agentId)?.claim.class;
    const ownerOf = (agentId: string) => holder?.reconciler.held.get(agentId)?.claim.userId ?? undefined;
    cluster = await createCluster({
      config,
      database,
      clock,
      random,
      log,
      guard,
      // Nothing is held before there is a controller.
      responsible: (agentId) => holder?.reconciler.held.has(agentId) ?? false,
      owner: ownerOf,
      classOf,
      observe: {
        apiCall: instruments.onApiCall,
        watch: instruments.onWatch,
        event: instruments.onEvent,
        logOpening: instruments.onLogOpening,
      },
    });
    await cluster.start();
    const telemetry = new Telemetry({
      database,
      cluster,
      clock,
      random,
      log,
      stateDir: config.stateDir,
      spoolBytes: config.spoolBytes,
      metricsSeconds: config.metricsSeconds,
      onSamples: (samples) => void idle?.look(samples),
      otlpLogs: config.otlpLogs,
    });
    const pluginDatabase = createPluginDatabase(config.supabaseUrl, config.secretKey);
    const pods = config.kubernetes?.plugins;
    // An operator's own program brings its own packages, and so does an image where pods have no way here.
    if (cluster.kind === "processes" ? config.runtimeCommand === undefined : pods !== undefined) {
      plugins = await openPlugins({
        ...config.plugins,
        agents: pods === undefined ? "here" : "pods",
        database: pluginDatabase,
        clock,
        random,
        log,
      });
    }
    const listening = { port: config.port };
    const runs = cluster;
    const controller = new Controller({
      worker: state.worker,
      database,
      cluster,
      clock,
      random,
      log,
      guard,
      plugins: plugins?.provisioner,
      limits: { readyMs: config.readySeconds * 1000, crashLimit: config.crashLimit },
      pollSeconds: config.pollSeconds,
      leaseSeconds: config.leaseSeconds,
      concurrency: config.concurrency,
      urlOf: (agentId) => config.agentUrlTemplate.replaceAll("{agentId}", agentId),
      describe: async () => ({
        cluster: runs.kind,
        version: VERSION,
        url: `http://${advertisedHost(config.host)}:${listening.port}`,
        ...(config.agentPathTemplate !== undefined && { agentPathTemplate: config.agentPathTemplate }),
        // How soon the database may expect the next word (health waits longer for a slower controller).
        heartbeatSeconds: Math.min(config.pollSeconds, config.leaseSeconds / 3),
        logs:
          config.kubernetes?.storeLogs === false ? "off" : config.otlpLogs === undefined ? "stored" : "otlp",
        fleet: guard.report(),
        ...(runs.platform !== undefined && { platform: { content: runs.platform, ...config.rollout } }),
        ...(await runs.probe()),
      }),
      onClaim: instruments.onClaim,
      onPass: instruments.onPass,
      onPhase: instruments.onPhase,
      onWake: instruments.onWake,
    });
    holder = controller;
    idle = new IdleWatch({
      database,
      cluster,
      clock,
      log,
      held: () => controller.reconciler.held,
      mayAct: () => !controller.lapsed && guard.mayChange,
      claimNow: () => controller.hint(),
      doubt: (agentId) => controller.doubt(agentId),
    });

    const peers =
      config.peers === undefined
        ? undefined
        : new Peers({ address: config.peers, secret: config.webhookSecret, log });
    const { endpoints } = cluster;
    const door = new Door({
      // Another controller may hold the agent's lease.
      wake: waker({ database, claim: () => [controller.hint(), peers?.hint()] }),
      isReady: (agentId) => endpoints.count(agentId) > 0,
      clock,
      log,
      onHeld: instruments.onHeld,
    });
    endpoints.onReady((agentId) => door.ready(agentId));
    instruments.watch({ controller, cluster, door, telemetry });
    ingress = createIngress({
      endpoints,
      log,
      door,
      isAsleep: (agentId) =>
        runs.isAsleep?.(agentId) ?? controller.reconciler.held.get(agentId)?.claim.desired === "asleep",
      // In a cluster the ingress controller in front is the last proxy that agents count, asleep or awake.
      countsAsHop: config.kubernetes?.doors === undefined,
      onRequest: instruments.onIngressRequest,
    });
    let stopping = false;
    server = createControllerServer({
      secret: config.webhookSecret,
      log,
      onHint: (hint, relayed) => {
        controller.hint(hint);
        if (!relayed) void peers?.hint();
      },
      onWebhook: instruments.onWebhook,
      problems: async () => {
        const health = await runs.probe();
        return [
          ...(stopping ? ["The controller is stopping."] : []),
          ...(controller.trouble === undefined ? [] : [controller.trouble]),
          ...(health.healthy ? [] : [health.message ?? "The cluster does not work."]),
        ];
      },
      notes: () => guard.notes,
      metrics: () => instruments.text(),
    });
    const [port, ingressPort] = await Promise.all([
      listen(server, config.port, config.host, "LAUNCHPAD_PORT"),
      listen(ingress.server, config.ingressPort, config.host, "LAUNCHPAD_INGRESS_PORT"),
    ]);
    listening.port = port;
    if (pods !== undefined && plugins?.sets !== undefined) {
      sets = createSetServer({
        secret: config.webhookSecret,
        store: plugins.sets,
        database: pluginDatabase,
        log,
      });
      await listen(sets, pods.port, config.host, "LAUNCHPAD_PLUGIN_PORT");
    }
    const memory = new MemoryWatch({
      clock,
      log,
      limit: memoryLimit(),
      used: () => process.memoryUsage.rss(),
    });
    memory.start();
    controller.start();
    telemetry.start();
    log.info("started", { worker: state.worker, port, ingressPort, cluster: cluster.kind });

    const stop = async () => {
      log.info("stopping");
      void plugins?.stop();
      memory.stop();
      // Not ready from here on, but it listens until the end: a webhook that still comes here is told on to the others.
      stopping = true;
      // Whoever waits for an agent gets an answer now, and tries again at another controller.
      door.stop();
      // Together: passes under way see that they may not act any more, and nothing new is started.
      await Promise.all([within(LAST_CALL_MS, controller.stop()), runs.stop()]);
      ingress?.close();
      const releasing = controller.release().catch((error: unknown) => {
        // They run out on their own.
        log.warn("the leases could not be given back", { error: errorMessage(error) });
      });
      await Promise.all([within(LAST_CALL_MS, releasing), telemetry.stop(LAST_CALL_MS)]);
      // What was held here is anybody's now.
      await within(LAST_CALL_MS, peers?.hint() ?? Promise.resolve());
      for (const one of [server, sets]) {
        one?.close();
        one?.closeAllConnections();
      }
      state.release();
      log.info("stopped");
    };
    return { port, ingressPort, worker: state.worker, stop };
  } catch (error) {
    ingress?.close();
    server?.close();
    sets?.close();
    await plugins?.stop();
    await cluster?.stop().catch(() => {});
    state.release();
    throw error;
  }
}

/** Where this controller is found: "every address" names no machine. In a pod the host's name is the pod's. */
function advertisedHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return hostname();
  return host.includes(":") ? `[${host}]` : host;
}

/** Waits for the work, but no longer than the limit. */
async function within(limitMs: number, work: Promise<void>): Promise<void> {
  const limit = new Promise<void>((resolve) => setTimeout(resolve, limitMs).unref());
  await Promise.race([work, limit]);
}

/**
 * `::` is every address of both families, or of IPv4 alone on a machine without IPv6: Node decides where no host is named.
 * @throws {Error} naming the setting when the port is taken
 */
async function listen(server: Server, port: number, host: string, setting: string): Promise<number> {
  server.listen({ port, ...(host === "::" ? {} : { host }) });
  try {
    await once(server, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") {
      throw new Error(`Port ${port} on ${host} is in use; choose another with ${setting}.`);
    }
    throw error;
  }
  return (server.address() as AddressInfo).port;
}
