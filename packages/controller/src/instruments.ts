// The metrics that the controller exports about itself.

import type { Hindered } from "./cluster/cluster.ts";
import type { Door, HeldOutcome } from "./ingress/door.ts";
import type { Controller } from "./loop/controller.ts";
import { memoryLimit } from "./memory-watch.ts";
import { Registry } from "./prometheus.ts";
import type { Held } from "./reconcile/leased-agent.ts";
import type { WebhookOutcome } from "./server.ts";
import type { Telemetry } from "./shipping/telemetry.ts";
import { VERSION } from "./version.ts";

/** Phases that a controller reports. */
const PHASES = ["DEPLOYING", "DEPLOYED", "ASLEEP", "FAILED", "STOPPED", "DELETED"];
const PASSED = byEach("outcome", ["worked", "failed"]);
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * What the controller counts of itself, for `/metrics`.
 * @param installation labels every sample, so that one Prometheus tells several installations apart
 */
export function createInstruments(installation?: string) {
  const registry = new Registry(installation === undefined ? {} : { installation });
  const claims = registry.counter("launchpad_claims_total", "Claims, by outcome.", PASSED);
  const claimed = registry.counter(
    "launchpad_claimed_deployments_total",
    "Deployments that a claim newly brought.",
  );
  const passes = registry.histogram(
    "launchpad_reconcile_seconds",
    "Reconcile passes, by outcome.",
    SECONDS,
    PASSED,
  );
  const phases = registry.counter(
    "launchpad_phases_total",
    "Phases reported, by phase.",
    byEach("phase", PHASES),
  );
  const wakes = registry.histogram(
    "launchpad_wake_seconds",
    "Wakes, from the claim to a replica that is ready.",
    SECONDS,
  );
  const calls = registry.histogram("launchpad_database_call_seconds", "Calls to the database.", SECONDS);
  const failures = registry.counter("launchpad_database_call_failures_total", "Calls that did not work.");
  const webhooks = registry.counter(
    "launchpad_webhooks_total",
    "Webhooks, by outcome.",
    byEach("outcome", ["accepted", "relayed", "refused"] satisfies WebhookOutcome[]),
  );
  const requests = registry.counter(
    "launchpad_ingress_requests_total",
    "Requests to agents, by status class.",
  );
  const held = registry.histogram(
    "launchpad_held_request_seconds",
    "How long requests waited for sleeping agents, by how it ended: passed on, refused, late (30 seconds), left (the client gave up).",
    [...SECONDS, 30],
    byEach("outcome", ["passed", "refused", "late", "left"] satisfies HeldOutcome[]),
  );

  const apiCalls = registry.counter("launchpad_kubernetes_calls_total", "Calls to the API server, by code.");
  const apiSeconds = registry.histogram(
    "launchpad_kubernetes_call_seconds",
    "Calls to the API server, by verb and resource; watches and followed logs are not timed.",
    SECONDS,
  );
  const watches = registry.counter(
    "launchpad_kubernetes_watches_total",
    "Watches, by what became of them: started, relisted (the version asked for was too old), failed.",
  );

  const events = registry.counter(
    "launchpad_kubernetes_events_total",
    "Events about what the controller did, by what became of them: written, failed, dropped (too many at once).",
    byEach("outcome", ["written", "failed", "dropped"]),
  );

  const openings = registry.counter(
    "launchpad_log_openings_total",
    "Openings of replicas' logs through the API server: to follow them, or to read what is new.",
  );

  return {
    onApiCall(verb: string, resource: string, code: number, milliseconds: number) {
      // 0 = no answer at all.
      apiCalls.add({ verb, resource, code: String(code) });
      if (verb !== "watch" && resource !== "pods/log")
        apiSeconds.observe(milliseconds / 1000, { verb, resource });
    },
    onEvent: (outcome: "written" | "failed" | "dropped") => events.add({ outcome }),
    onLogOpening: (how: "followed" | "read") => openings.add({ how }),
    onWatch: (resource: string, outcome: "started" | "relisted" | "failed") =>
      watches.add({ resource, outcome }),
    onClaim(outcome: "worked" | "failed", rows: number) {
      claims.add({ outcome });
      claimed.add({}, rows);
    },
    onPass: (outcome: "worked" | "failed", milliseconds: number) =>
      passes.observe(milliseconds / 1000, { outcome }),
    onWake: (milliseconds: number) => wakes.observe(milliseconds / 1000),
    onPhase: (phase: string) => phases.add({ phase }),
    onCall(name: string, worked: boolean, milliseconds: number) {
      calls.observe(milliseconds / 1000, { call: name });
      if (!worked) failures.add({ call: name });
    },
    onWebhook: (outcome: WebhookOutcome) => webhooks.add({ outcome }),
    onIngressRequest: (_agentId: string, status: number) =>
      requests.add({ status: `${Math.floor(status / 100)}xx` }),

    onHeld: (outcome: HeldOutcome, milliseconds: number) => held.observe(milliseconds / 1000, { outcome }),

    /** Registers what is read when asked for. */
    watch({ controller, cluster, door, telemetry }: Watched) {
      const hindered = (): Hindered =>
        cluster.countHindered?.((agentId) => controller.reconciler.held.get(agentId)?.claim.platform?.id) ?? {
          outdated: 0,
          blocked: new Map(),
        };
      registry.gauge(
        "launchpad_held_requests",
        "Requests that wait for sleeping agents now.",
        () => door.held,
      );
      registry.gauge("launchpad_held_deployments", "Deployments whose lease this controller holds.", () => {
        return controller.reconciler.held.size;
      });
      registry.gauge(
        "launchpad_unsettled_deployments",
        "Held deployments whose newest generation is not reached yet.",
        () => [...controller.reconciler.held.values()].filter(isUnsettled).length,
      );
      registry.gauge(
        "launchpad_oldest_unsettled_seconds",
        "How long the oldest agent of the project has waited for what its user asked for, by phase; DEPLOYED: without a ready replica.",
        () => Object.entries(controller.waits).map(([phase, seconds]) => [{ phase }, seconds]),
      );
      registry.gauge(
        "launchpad_faulty_deployments",
        "Held deployments whose last pass ended in an error and is tried again.",
        () => [...controller.reconciler.held.values()].filter(({ faults }) => faults > 0).length,
      );
      registry.gauge(
        "launchpad_queued_deployments",
        "Deployments waiting for a pass.",
        () => controller.queued,
      );
      registry.gauge("launchpad_lease_lapsed", "Whether the heartbeat could not be renewed in time.", () =>
        controller.lapsed ? 1 : 0,
      );
      registry.gauge(
        "launchpad_foreign_database",
        "1: the database is not the one that this installation belongs to; nothing is done.",
        () => (controller.guard.trouble === undefined ? 0 : 1),
      );
      registry.gauge("launchpad_hold", "1: operators hold the controllers.", () =>
        controller.guard.hold === null ? 0 : 1,
      );
      registry.gauge(
        "launchpad_removals_stopped",
        "Things that the database does not know, too many to go at once without a person's word, by kind.",
        () => [...controller.guard.stopped].map(([kind, { count }]) => [{ kind }, count]),
      );
      registry.gauge(
        "launchpad_foreign_namespaces",
        "Namespaces of this installation that carry another database's mark; they are left alone.",
        () => [...controller.guard.foreign.values()].reduce((sum, count) => sum + count, 0),
      );
      registry.gauge(
        "launchpad_stray_objects",
        "Objects that carry this installation's labels and are not its own; they are left alone.",
        () => cluster.leftAlone?.strays ?? 0,
      );
      registry.gauge(
        "launchpad_kept_namespaces",
        "Namespaces of users that are gone, kept for what somebody else put there.",
        () => cluster.leftAlone?.keptNamespaces ?? 0,
      );
      registry.gauge(
        "launchpad_watch_failing_seconds",
        "For how long the watch of a resource has failed; absent while it works.",
        () =>
          [...(cluster.failingWatches ?? [])].map(([resource, milliseconds]) => [
            { resource },
            milliseconds / 1000,
          ]),
      );
      registry.gauge(
        "launchpad_log_streams",
        "Replicas whose logs are read here: followed by a stream, or polled, where there are more than can be followed.",
        () => {
          if (cluster.logStreams === undefined) return [];
          const { followed, readers } = cluster.logStreams;
          return [
            [{ how: "followed" }, followed],
            [{ how: "polled" }, Math.max(0, readers - followed)],
          ];
        },
      );
      registry.gauge("launchpad_replicas", "Replicas here, by state.", () =>
        [...cluster.countStates()].map(([state, count]) => [{ state }, count]),
      );
      registry.gauge("launchpad_pool_waiting", "Runtimes that wait for an agent, started already.", () =>
        cluster.pool === undefined ? [] : cluster.pool.waiting,
      );
      registry.gauge(
        "launchpad_pool_starts_total",
        "Starts of replicas that a waiting runtime fits: warm with one, cold without.",
        () => Object.entries(cluster.pool?.counts ?? {}).map(([how, count]) => [{ how }, count]),
        "counter",
      );
      registry.gauge(
        "launchpad_outdated_replicas",
        "Replicas that do not have the image that their agent should have; what waits for its wave is not among them.",
        () => hindered().outdated,
      );
      registry.gauge(
        "launchpad_blocked_replicas",
        "Replicas that something keeps from becoming ready, by reason.",
        () => [...hindered().blocked].map(([reason, count]) => [{ reason }, count]),
      );
      registry.gauge("launchpad_rollout", "1: the rollout of a new image is in this state.", () => {
        const { rollout } = controller.guard;
        return rollout === undefined ? [] : [[{ state: rollout.state }, 1]];
      });
      registry.gauge(
        "launchpad_rollout_agents",
        "Agents of all controllers in the rollout, by how far they are.",
        () => {
          const { rollout } = controller.guard;
          if (rollout === undefined) return [];
          const states = ["waiting", "updating", "ready", "idle", "failed"] as const;
          return states.map((state) => [{ state }, rollout[state]]);
        },
      );
      const spools = [
        ["logs", telemetry.logs, telemetry.logSpool],
        ["metrics", telemetry.metrics, telemetry.metricSpool],
      ] as const;
      registry.gauge("launchpad_spool_rows", "Rows on their way to the database.", () =>
        spools.map(([kind, shipper]) => [{ kind }, shipper.waiting]),
      );
      registry.gauge("launchpad_spool_bytes", "Size of the spool on disk.", () =>
        spools.map(([kind, , spool]) => [{ kind }, spool.bytes]),
      );
      registry.gauge(
        "launchpad_shipped_rows_total",
        "Rows delivered.",
        () => spools.map(([kind, shipper]) => [{ kind }, shipper.shipped]),
        "counter",
      );
      registry.gauge(
        "launchpad_lost_rows_total",
        "Rows dropped for want of room, or refused for good.",
        () => spools.map(([kind, shipper, spool]) => [{ kind }, spool.dropped + shipper.refused]),
        "counter",
      );
      registry.gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
      registry.gauge(
        "launchpad_memory_limit_bytes",
        "What this container may use at most; absent where there is no limit.",
        () => (limit === undefined ? [] : [[{}, limit]]),
      );
      registry.gauge(
        "process_cpu_seconds_total",
        "CPU time, user and system.",
        () => {
          const { system, user } = process.cpuUsage();
          return (user + system) / 1e6;
        },
        "counter",
      );
      registry.gauge("process_start_time_seconds", "Start, in Unix time.", () => startedAt);
      registry.gauge("launchpad_build_info", "What runs.", () => [
        [{ version: VERSION, node: process.versions.node, cluster: cluster.kind }, 1],
      ]);
    },
    get names() {
      return registry.names;
    },
    text: () => registry.text(),
  };
}

const limit = memoryLimit();
const startedAt = Math.round(Date.now() / 1000 - process.uptime());

function byEach(label: string, values: readonly string[]): Record<string, string>[] {
  return values.map((value) => ({ [label]: value }));
}

function isUnsettled({ desired }: Held): boolean {
  return desired.generation > desired.observedGeneration;
}

interface Watched {
  controller: Controller;
  cluster: {
    readonly kind: string;
    readonly pool?: { waiting: number; counts: Record<"warm" | "cold", number> } | undefined;
    countStates(): ReadonlyMap<string, number>;
    readonly logStreams?: { readers: number; followed: number };
    readonly leftAlone?: { strays: number; keptNamespaces: number };
    readonly failingWatches?: ReadonlyMap<string, number>;
    countHindered?(wanted: (agentId: string) => string | undefined): Hindered;
  };
  door: Pick<Door, "held">;
  telemetry: Telemetry;
}
