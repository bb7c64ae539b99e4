import assert from "node:assert/strict";
import { test } from "vitest";
import type { Hindrance, ObservedReplica } from "../../cluster.ts";
import { ANNOTATIONS, LABELS } from "../names.ts";
import type {
  Condition,
  ContainerStatus,
  Deployment,
  EventNote,
  HorizontalPodAutoscaler,
  Pod,
  ReplicaSet,
} from "./objects.ts";
import { observeWorkload } from "./observed-workload.ts";
import type { AgentObjects } from "./view.ts";

/** Objects as real clusters write them. */
const T0 = Date.parse("2030-01-01T00:00:00Z");
const NOW = T0 + 60_000;
const at = (seconds: number) => new Date(T0 + seconds * 1000).toISOString().replace(".000Z", "Z");

const IMAGE = "registry.example/agent-runtime:1";

function pod(
  status: Partial<ContainerStatus>,
  part: { ready?: [string, number]; pod?: Partial<Pod> } = {},
): Pod {
  const [ready, since] = part.ready ?? ["False", 0];
  const reason = ready === "True" ? {} : { reason: "ContainersNotReady" };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "a-7d4b9c-x2x9z",
      namespace: "agents-u1",
      uid: "pod-1",
      labels: { [LABELS.agent]: "a", [LABELS.template]: "t2" },
      creationTimestamp: at(0),
    },
    spec: {
      nodeName: "node-1",
      containers: [{ name: "agent", image: IMAGE, resources: { limits: { memory: "268435456" } } }],
    },
    status: {
      phase: status.state?.running === undefined ? "Pending" : "Running",
      conditions: [
        { type: "PodScheduled", status: "True", lastTransitionTime: at(0) },
        { type: "Ready", status: ready, lastTransitionTime: at(since), ...reason },
      ],
      containerStatuses: [
        { name: "agent", ready: ready === "True", started: true, restartCount: 0, image: IMAGE, ...status },
      ],
    },
    ...part.pod,
  };
}

const READY = pod({ state: { running: { startedAt: at(1) } } }, { ready: ["True", 3] });

function deployment(part: Partial<Deployment> = {}, replicas = 1, conditions: Condition[] = []): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: {
      name: "a",
      namespace: "agents-u1",
      uid: "deployment-1",
      creationTimestamp: at(-100),
      annotations: { [ANNOTATIONS.generation]: "3" },
      managedFields: [
        { manager: "agent-launchpad", operation: "Apply", time: at(-10) },
        { manager: "kube-controller-manager", operation: "Update", time: at(50), subresource: "status" },
      ],
    },
    spec: { replicas, template: { metadata: { labels: { [LABELS.template]: "t2" } } } },
    status: { conditions },
    ...part,
  };
}

function objects(pods: Pod[], part: Partial<AgentObjects> = {}): AgentObjects {
  const base = {
    agentId: "a",
    replicaSets: [],
    pods,
    warnings: [],
    stable: new Map(),
    deployment: deployment(),
  };
  const all = { ...base, ...part };
  return { all: [...all.pods, ...(all.deployment ? [all.deployment] : [])], ...all };
}

function warning(reason: string, message: string, seconds = 30, uid = "pod-1"): EventNote {
  return { kind: "Pod", name: "a-7d4b9c-x2x9z", uid, reason, message, at: T0 + seconds * 1000 };
}

function observeOne(one: Pod, warnings: EventNote[] = []): ObservedReplica {
  const replica = observeWorkload(objects([one], { warnings }), NOW)?.replicas[0];
  assert.ok(replica !== undefined);
  return replica;
}

function ended(exitCode: number, message = "", more: Record<string, unknown> = {}) {
  return {
    terminated: { exitCode, reason: "Error", message, startedAt: at(10), finishedAt: at(20), ...more },
  };
}

/** A container that waits after its last end. */
function looping(exitCode: number, message = "", more: Record<string, unknown> = {}): Pod {
  return pod({
    restartCount: 4,
    started: false,
    state: {
      waiting: {
        reason: "CrashLoopBackOff",
        message: "back-off 1m20s restarting failed container=agent pod=a-7d4b9c-x2x9z_agents-u1(pod-1)",
      },
    },
    lastState: ended(exitCode, message, more),
  });
}

const said = (level: string, message: string, metadata: Record<string, unknown> = {}) =>
  JSON.stringify({ timestamp: at(20), level, message, source: "runtime", metadata });

test("what there is of an agent, in one answer", () => {
  const two = observeWorkload(objects([READY], { deployment: deployment({}, 2) }), NOW, {
    health: (uid) => (uid === "pod-1" ? { status: "ok", responseTimeMs: 4 } : undefined),
  });
  assert.deepEqual(two, {
    agentId: "a",
    generation: 3,
    template: "t2",
    wanted: 2,
    replicas: [
      {
        name: "a-7d4b9c-x2x9z",
        template: "t2",
        state: "ready",
        failures: 0,
        startedAt: T0 + 1000,
        health: { status: "ok", responseTimeMs: 4 },
      },
    ],
    progressedAt: T0 + 3000,
  });
  assert.equal(observeWorkload({ ...objects([]), deployment: undefined, all: [] } as never, NOW), undefined);
});

test("a workload without its Deployment, or with one that is being deleted, works towards nothing", () => {
  for (const gone of [undefined, deployment({ metadata: { name: "a", deletionTimestamp: at(1) } })]) {
    const { deployment: _, ...rest } = objects([READY]);
    const observed = observeWorkload(gone === undefined ? rest : { ...rest, deployment: gone }, NOW);
    assert.deepEqual([observed?.generation, observed?.wanted, observed?.replicas.length], [0, 0, 1]);
  }
});

test("a failure is remembered for its own generation alone", () => {
  const noted = (text: string) =>
    observeWorkload(
      objects([], {
        deployment: deployment({
          metadata: {
            name: "a",
            annotations: { [ANNOTATIONS.generation]: "3", [ANNOTATIONS.failure]: text },
          },
        }),
      }),
      NOW,
    )?.failure;
  assert.deepEqual(noted('{"generation":3,"reason":"CRASH_LOOP","message":"It broke."}'), {
    reason: "CRASH_LOOP",
    message: "It broke.",
  });
  assert.equal(noted('{"generation":2,"reason":"CRASH_LOOP","message":"It broke."}'), undefined);
  assert.equal(noted("{not json"), undefined);
});

test("an autoscaler's bounds count from the start, its choice as soon as it is written down", () => {
  const hpa = { spec: { minReplicas: 2, maxReplicas: 5 } } as unknown as HorizontalPodAutoscaler;
  const wanted = (replicas: number | undefined) => {
    const one = deployment();
    one.spec = { ...one.spec, ...(replicas === undefined ? {} : { replicas }) };
    if (replicas === undefined) delete one.spec.replicas;
    return observeWorkload(objects([], { deployment: one, hpa }), NOW)?.wanted;
  };
  // 0 = stopped, and then the autoscaler rests too.
  assert.deepEqual([undefined, 0, 1, 4, 9].map(wanted), [2, 0, 2, 4, 5]);
});

test("progress is the latest of what was applied, made, or became ready; old replicas do not count", () => {
  const old = pod({ state: { running: { startedAt: at(40) } } }, { ready: ["True", 45] });
  old.metadata = { ...old.metadata, labels: { [LABELS.template]: "t1" } };
  const progress = (pods: Pod[], conditions: Condition[] = []) =>
    ((observeWorkload(objects(pods, { deployment: deployment({}, 1, conditions) }), NOW)?.progressedAt ?? 0) -
      T0) /
    1000;
  assert.equal(progress([]), -10);
  assert.equal(progress([old]), -10);
  assert.equal(progress([READY, old]), 3);
  const progressing = { type: "Progressing", status: "True", lastUpdateTime: at(7) };
  assert.equal(progress([READY], [progressing]), 7);
});

const STATES: [what: string, Pod, string][] = [
  [
    "scheduled, nothing of it started",
    pod({ started: false, state: { waiting: { reason: "ContainerCreating" } } }),
    "starting",
  ],
  ["a pod nobody has looked at yet", { ...pod({}), status: { phase: "Pending" } }, "starting"],
  ["runs, not ready yet", pod({ started: false, state: { running: { startedAt: at(5) } } }), "starting"],
  ["ready", READY, "ready"],
  [
    "was ready in this life, is no more",
    pod({ state: { running: { startedAt: at(1) } } }, { ready: ["False", 30] }),
    "unready",
  ],
  [
    "runs again after an end: its unreadiness is older than this life",
    pod(
      { restartCount: 1, state: { running: { startedAt: at(25) } }, lastState: ended(1) },
      { ready: ["False", 20] },
    ),
    "starting",
  ],
  ["has ended, waits", looping(1), "waiting"],
  ["has just ended", pod({ state: ended(1) }), "waiting"],
  ["is being ended", { ...READY, metadata: { ...READY.metadata, deletionTimestamp: at(50) } }, "ending"],
];
for (const [what, one, expected] of STATES) {
  test(`${what} → ${expected}`, () => assert.equal(observeOne(one).state, expected));
}

test("a pod that was evicted is no replica any more", () => {
  const evicted = { ...READY, status: { ...READY.status, phase: "Failed", reason: "Evicted" } };
  assert.deepEqual(observeWorkload(objects([evicted]), NOW)?.replicas, []);
});

const FAILURES: [what: string, Pod, stable: number | undefined, expected: number][] = [
  ["never ended", READY, undefined, 0],
  ["back-off 1m20s: the fifth end in a row", looping(1), undefined, 5],
  ["four of five ends were before it was stable", looping(1), 4, 1],
  ["the life before was long", looping(1, "", { startedAt: at(-500) }), undefined, 1],
  [
    "runs again, not ready for long",
    pod(
      { restartCount: 2, state: { running: { startedAt: at(50) } }, lastState: ended(1) },
      { ready: ["True", 55] },
    ),
    undefined,
    2,
  ],
  [
    "ready for 30 s",
    pod(
      { restartCount: 2, state: { running: { startedAt: at(25) } }, lastState: ended(1) },
      { ready: ["True", 30] },
    ),
    undefined,
    0,
  ],
  ["has just ended for the first time", pod({ state: ended(1) }), undefined, 1],
];
for (const [what, one, stable, expected] of FAILURES) {
  test(`${what} → ${expected} in a row`, () => {
    const known = new Map(stable === undefined ? [] : [["pod-1", stable]]);
    assert.equal(observeWorkload(objects([one], { stable: known }), NOW)?.replicas[0]?.failures, expected);
  });
}

const EXITS: [
  what: string,
  Pod,
  EventNote[],
  code: number | null,
  fatal: boolean,
  reason: string,
  message: string,
][] = [
  [
    "the runtime's own reason",
    looping(
      78,
      `${said("INFO", "starting")}\n${said("ERROR", "The plugin x is not installed.", { reason: "PLUGIN_NOT_FOUND" })}\n`,
    ),
    [],
    78,
    true,
    "PLUGIN_NOT_FOUND",
    "The plugin x is not installed.",
  ],
  [
    "the runtime's reason in a line that was cut at its front",
    looping(78, `${"x".repeat(50)} is wrong.","source":"runtime","metadata":{"reason":"INVALID_MODEL"}}\n`),
    [],
    78,
    true,
    "INVALID_MODEL",
    `${"x".repeat(50)} is wrong.","source":"runtime","metadata":{"reason":"INVALID_MODEL"}}`,
  ],
  [
    "a crash with its last words",
    looping(1, `${said("ERROR", "The database is closed.")}\n${said("INFO", "bye")}\n`),
    [],
    1,
    false,
    "CRASHED",
    "It exited with code 1. Its last words: The database is closed.",
  ],
  ["a crash without a word", looping(1), [], 1, false, "CRASHED", "It exited with code 1. It said nothing."],
  [
    "an end by itself without a fault",
    looping(0, "", { reason: "Completed" }),
    [],
    0,
    false,
    "CRASHED",
    "It exited with code 0. It said nothing.",
  ],
  [
    "out of memory",
    looping(137, "", { reason: "OOMKilled" }),
    [],
    null,
    false,
    "OOMKilled",
    "It used more than its 256 MiB of memory and was ended.",
  ],
  [
    "out of heap",
    looping(134, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"),
    [],
    null,
    false,
    "OOMKilled",
    "It ran out of the heap that its memory limit allows.",
  ],
  [
    "ended by its liveness probe",
    looping(137, ""),
    [
      warning(
        "Unhealthy",
        'Liveness probe failed: Get "http://10.0.0.7:8080/health": context deadline exceeded',
        19,
      ),
    ],
    null,
    false,
    "UNHEALTHY",
    'It did not answer its liveness probe and was ended: Get "http://10.0.0.7:8080/health": context deadline exceeded.',
  ],
  [
    "ended by its startup probe",
    looping(143, ""),
    [warning("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503", 19)],
    null,
    false,
    "NEVER_READY",
    "It did not start in time and was ended: HTTP probe failed with statuscode: 503.",
  ],
  [
    "ended in good order, but by its liveness probe",
    looping(0, "", { reason: "Completed" }),
    [warning("Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500", 19)],
    0,
    false,
    "UNHEALTHY",
    "It did not answer its liveness probe and was ended: HTTP probe failed with statuscode: 500.",
  ],
  [
    "killed, and the probe's warning is of an earlier life",
    looping(137, ""),
    [warning("Unhealthy", "Liveness probe failed: x", 5)],
    null,
    false,
    "CRASHED",
    "It was ended by SIGKILL. It said nothing.",
  ],
  [
    "a container that cannot be started",
    looping(128, 'failed to create containerd task: exec: "node": executable file not found in $PATH', {
      reason: "StartError",
    }),
    [],
    128,
    false,
    "SPAWN_FAILED",
    'The process could not be started: failed to create containerd task: exec: "node": executable file not found in $PATH',
  ],
];
for (const [what, one, warnings, code, fatal, reason, message] of EXITS) {
  test(`${what} → ${reason}`, () => {
    const { exit } = observeOne(one, warnings);
    assert.deepEqual(
      [exit?.code, exit?.fatal, exit?.reason, exit?.message, exit?.at],
      [code, fatal, reason, message, T0 + 20_000],
    );
  });
}

test("secrets are taken out of the last words before they are judged", () => {
  const one = looping(1, said("ERROR", "The key sk-1234567 was refused."));
  const redact = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll("sk-1234567", "***")) as T;
  const exit = observeWorkload(objects([one]), NOW, { redact })?.replicas[0]?.exit;
  assert.match(exit?.message ?? "", /The key \*\*\* was refused/);
});

const waiting = (reason: string, message = "") =>
  pod({ started: false, state: { waiting: { reason, message } } });
const unscheduled = (message: string): Pod => ({
  ...pod({}),
  status: {
    phase: "Pending",
    conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }],
  },
});
const running = pod({ started: false, state: { running: { startedAt: at(5) } } });
const NO_TAG = `rpc error: code = NotFound desc = failed to pull and unpack image "${IMAGE}": failed to resolve reference "${IMAGE}": ${IMAGE}: not found`;

const HINDRANCES: [what: string, Pod, EventNote[], Hindrance | undefined][] = [
  ["nothing is in the way", waiting("ContainerCreating"), [], undefined],
  [
    "no such image, as told first",
    waiting("ErrImagePull", NO_TAG),
    [],
    {
      reason: "ImagePullBackOff",
      message: `The image "${IMAGE}" does not exist in its registry.`,
      fatal: false,
    },
  ],
  [
    "no such image, as told while it waits (since 1.31)",
    waiting("ImagePullBackOff", `Back-off pulling image "${IMAGE}": ErrImagePull: ${NO_TAG}`),
    [],
    {
      reason: "ImagePullBackOff",
      message: `The image "${IMAGE}" does not exist in its registry.`,
      fatal: false,
    },
  ],
  [
    "no such image, as told while it waits (before 1.31: only the event tells why)",
    waiting("ImagePullBackOff", `Back-off pulling image "${IMAGE}"`),
    [
      warning("Failed", `Failed to pull image "${IMAGE}": ${NO_TAG}`),
      warning("Failed", "Error: ImagePullBackOff"),
    ],
    {
      reason: "ImagePullBackOff",
      message: `The image "${IMAGE}" does not exist in its registry.`,
      fatal: false,
    },
  ],
  [
    "not allowed to pull",
    waiting(
      "ErrImagePull",
      `failed to pull and unpack image "${IMAGE}": failed to authorize: 401 Unauthorized`,
    ),
    [],
    {
      reason: "ImagePullBackOff",
      message: `The registry does not give out the image "${IMAGE}": it may not exist, or pulling it takes a secret.`,
      fatal: false,
    },
  ],
  [
    "registry away",
    waiting(
      "ErrImagePull",
      `failed to pull and unpack image "${IMAGE}": dial tcp: lookup registry.example: no such host`,
    ),
    [],
    {
      reason: "ImagePullBackOff",
      message: `The registry of the image "${IMAGE}" cannot be reached: dial tcp: lookup registry.example: no such host.`,
      fatal: false,
    },
  ],
  [
    "a name that is none",
    waiting("InvalidImageName", 'Failed to apply default image tag "A:B:C": couldn\'t parse image name'),
    [],
    { reason: "InvalidImageName", message: `"${IMAGE}" is not the name of an image.`, fatal: true },
  ],
  [
    "its Secret is gone",
    waiting("CreateContainerConfigError", 'secret "a-0123456789abcdef" not found'),
    [],
    {
      reason: "MissingConfiguration",
      message: 'The Secret "a-0123456789abcdef" that it starts with is gone.',
      fatal: false,
    },
  ],
  [
    "its ConfigMap is gone",
    waiting("ContainerCreating"),
    [warning("FailedMount", 'MountVolume.SetUp failed for volume "config" : configmap "a-0123" not found')],
    {
      reason: "MissingConfiguration",
      message: 'The ConfigMap "a-0123" that it starts with is gone.',
      fatal: false,
    },
  ],
  [
    "an image that runs as root",
    waiting(
      "CreateContainerConfigError",
      'container has runAsNonRoot and image will run as root (pod: "a", container: agent)',
    ),
    [],
    {
      reason: "CreateContainerConfigError",
      message:
        'Its container cannot be made: container has runAsNonRoot and image will run as root (pod: "a", container: agent).',
      fatal: true,
    },
  ],
  [
    "no network on its node",
    waiting("ContainerCreating"),
    [
      warning(
        "FailedCreatePodSandBox",
        "Failed to create pod sandbox: rpc error: code = Unknown desc = no CNI",
      ),
    ],
    {
      reason: "FailedCreatePodSandBox",
      message:
        "Its node cannot prepare it: Failed to create pod sandbox: rpc error: code = Unknown desc = no CNI.",
      fatal: false,
    },
  ],
  [
    "no room",
    unscheduled(
      "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
    ),
    [],
    {
      reason: "Unschedulable",
      message:
        "None of 3 nodes fits it: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. A smaller size (memory), fewer replicas or another node would help.",
      fatal: false,
    },
  ],
  [
    "no node at all",
    unscheduled("no nodes available to schedule pods"),
    [],
    {
      reason: "Unschedulable",
      message: "No node fits it: no nodes available to schedule pods.",
      fatal: false,
    },
  ],
  [
    "its startup probe fails",
    running,
    [
      warning(
        "Unhealthy",
        'Startup probe failed: Get "http://10.0.0.7:8080/health": dial tcp 10.0.0.7:8080: connect: connection refused',
      ),
    ],
    {
      reason: "ProbeFailing",
      message:
        'Its startup probe fails: Get "http://10.0.0.7:8080/health": dial tcp 10.0.0.7:8080: connect: connection refused.',
      fatal: false,
    },
  ],
  [
    "a probe failed in an earlier life",
    running,
    [warning("Unhealthy", "Startup probe failed: x", 2)],
    undefined,
  ],
  [
    "a probe failed of another pod",
    running,
    [warning("Unhealthy", "Startup probe failed: x", 30, "pod-2")],
    undefined,
  ],
  [
    "it is ready: nothing is in the way",
    READY,
    [warning("Unhealthy", "Readiness probe failed: x")],
    undefined,
  ],
];
for (const [what, one, warnings, expected] of HINDRANCES) {
  test(`${what} → ${expected?.reason ?? "no hindrance"}`, () => {
    assert.deepEqual(observeOne(one, warnings).blocked, expected);
  });
}

const FORBIDDEN = 'pods "a-7d4b9c-x2x9z" is forbidden: ';
const SHORTAGES: [what: string, message: string, Hindrance][] = [
  [
    "quota",
    `${FORBIDDEN}exceeded quota: agents, requested: limits.memory=512Mi,pods=1, used: limits.memory=1Gi,pods=4, limited: limits.memory=1Gi,pods=4`,
    {
      reason: "QuotaExceeded",
      message:
        "The user's quota is used up: 1Gi of 1Gi limits.memory are used, 512Mi more is asked for; 4 of 4 pods are used, 1 more is asked for.",
      fatal: false,
    },
  ],
  [
    "a quota that somebody else made",
    `${FORBIDDEN}exceeded quota: team-a, requested: pods=1, used: pods=4, limited: pods=4`,
    {
      reason: "QuotaExceeded",
      message: "The quota team-a of the namespace is used up: 4 of 4 pods are used, 1 more is asked for.",
      fatal: false,
    },
  ],
  [
    "a policy",
    `${FORBIDDEN}violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "agent" must set securityContext.runAsNonRoot=true)`,
    {
      reason: "PodSecurity",
      message:
        'The cluster\'s policy refuses it: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "agent" must set securityContext.runAsNonRoot=true).',
      fatal: true,
    },
  ],
  [
    "a limit",
    `${FORBIDDEN}maximum memory usage per Container is 1Gi, but limit is 2Gi`,
    {
      reason: "LimitExceeded",
      message:
        "Its size is outside what the user may have: maximum memory usage per Container is 1Gi, but limit is 2Gi.",
      fatal: true,
    },
  ],
  [
    "a namespace that ends",
    `${FORBIDDEN}unable to create new content in namespace agents-u1 because it is being terminated`,
    {
      reason: "NamespaceTerminating",
      message: "The user's namespace is being deleted; until it is gone nothing can be started in it.",
      fatal: false,
    },
  ],
  [
    "anything else",
    'Internal error occurred: failed calling webhook "x.example"',
    {
      reason: "FailedCreate",
      message: 'The cluster does not take it: Internal error occurred: failed calling webhook "x.example".',
      fatal: false,
    },
  ],
];
for (const [what, message, expected] of SHORTAGES) {
  test(`no replica can be made: ${what} → ${expected.reason}`, () => {
    const condition = { type: "ReplicaFailure", status: "True", reason: "FailedCreate", message };
    const short = observeWorkload(objects([], { deployment: deployment({}, 1, [condition]) }), NOW);
    assert.deepEqual(short?.blocked, expected);
    // As long as there are as many as wanted, it hinders nobody.
    const enough = observeWorkload(objects([READY], { deployment: deployment({}, 1, [condition]) }), NOW);
    assert.equal(enough?.blocked, undefined);
    // The Deployment does not have it yet.
    const replicaSet = {
      metadata: { name: "a-7d4b9c", ownerReferences: [{ uid: "deployment-1" }] },
      spec: { template: { metadata: { labels: { [LABELS.template]: "t2" } } } },
      status: { conditions: [condition] },
    } as unknown as ReplicaSet;
    assert.deepEqual(observeWorkload(objects([], { replicaSets: [replicaSet] }), NOW)?.blocked, expected);
  });
}

test("a namespace that is stuck in its end says what holds it", () => {
  const namespace = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "agents-u1" },
    status: {
      phase: "Terminating",
      conditions: [
        {
          type: "NamespaceDeletionContentFailure",
          status: "False",
          message: "All content successfully deleted",
        },
        {
          type: "NamespaceFinalizersRemaining",
          status: "True",
          message:
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
        },
      ],
    },
  };
  assert.equal(
    observeWorkload(objects([], { namespace }), NOW)?.blocked?.message,
    "The user's namespace is being deleted; until it is gone nothing can be started in it: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances.",
  );
});
