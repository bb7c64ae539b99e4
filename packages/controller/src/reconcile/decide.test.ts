import assert from "node:assert/strict";
import { test } from "vitest";
import type { ObservedReplica, ObservedWorkload, ReplicaExit, ReplicaState } from "../cluster/cluster.ts";
import { type Decision, type Desired, decide } from "./decide.ts";
import { observe } from "./observe.ts";

const NOW = Date.UTC(2030, 0, 1);
const LIMITS = { readyMs: 60_000, crashLimit: 3 };

function replica(state: ReplicaState, part: Partial<ObservedReplica> = {}): ObservedReplica {
  return { name: "r", template: "t", state, failures: 0, startedAt: NOW - 5000, ...part };
}

function workload(
  generation: number,
  wanted: number,
  replicas: ObservedReplica[],
  part: Partial<ObservedWorkload> = {},
) {
  return { agentId: "a", generation, template: "t", wanted, replicas, progressedAt: NOW - 1000, ...part };
}

function exit(part: Partial<ReplicaExit> = {}): ReplicaExit {
  return { code: 1, signal: null, reason: "CRASHED", message: "It broke.", at: NOW, fatal: false, ...part };
}

function decided(desired: Desired, observed: ObservedWorkload | undefined, now = NOW): Decision {
  const situation = { desired, observed: observe(observed), conditions: [], url: "http://a", limits: LIMITS };
  return decide(situation, now);
}

/** A decision in one line: the actions, then what is said. */
function brief({ actions, report }: Decision): string {
  const done = actions.map((action) => {
    if (action.do === "remove") return action.keep ? "remove" : "remove all";
    return action.do === "revert" ? `revert ${action.failure.reason}` : action.do;
  });
  if (report !== undefined) {
    const ready = `${report.readyReplicas}/${report.currentReplicas}`;
    done.push([report.phase, report.reason, ready].filter(Boolean).join(" "));
  }
  return done.join(", ");
}

const running = (phase: string, generation: number, observedGeneration: number): Desired => ({
  state: "running",
  phase,
  generation,
  observedGeneration,
});
const stopped = (phase: string, observed: number): Desired => ({
  ...running(phase, 2, observed),
  state: "stopped",
});
const absent = (phase: string, observed: number): Desired => ({
  ...running(phase, 2, observed),
  state: "absent",
});
const asleep = (phase: string, observed: number): Desired => ({
  ...running(phase, 2, observed),
  state: "asleep",
});
const ready = replica("ready");
const starting = replica("starting");
const fatal = replica("waiting", {
  failures: 1,
  exit: exit({ fatal: true, code: 78, reason: "PLUGIN_NOT_FOUND" }),
});
const looping = replica("waiting", { failures: 3, exit: exit() });
const crashed = replica("waiting", { failures: 1, exit: exit() });
const pulling = replica("starting", {
  blocked: { reason: "ImagePullBackOff", message: "The image cannot be pulled.", fatal: false },
});
const misnamed = replica("starting", {
  blocked: { reason: "InvalidImageName", message: "The image has no such name.", fatal: true },
});
const noRoom = {
  blocked: { reason: "QuotaExceeded", message: "The quota of pods is used up.", fatal: false },
};
const stuck = {
  blocked: {
    reason: "NamespaceTerminating",
    message: "The user's namespace is being deleted.",
    fatal: false,
  },
};
const late = { progressedAt: NOW - 61_000 };

const TABLE: [what: string, Desired, ObservedWorkload | undefined, string][] = [
  ["QUEUED, nothing there → DEPLOYING", running("QUEUED", 1, 0), undefined, "apply, DEPLOYING 0/0"],
  ["DEPLOYING by the verb (start) → apply, nothing to say", running("DEPLOYING", 3, 2), undefined, "apply"],
  ["DEPLOYING, applied, starting → waits", running("DEPLOYING", 1, 0), workload(1, 1, [starting]), ""],
  [
    "DEPLOYING, one of two ready → waits",
    running("DEPLOYING", 1, 0),
    workload(1, 2, [ready, starting]),
    "1/2",
  ],
  [
    "DEPLOYING, all ready → DEPLOYED",
    running("DEPLOYING", 1, 0),
    workload(1, 2, [ready, ready]),
    "DEPLOYED 2/2",
  ],
  ["SLEEPING, replicas there → sleep", asleep("SLEEPING", 1), workload(1, 1, [ready]), "sleep"],
  ["SLEEPING, nothing there after a crash → sleep", asleep("SLEEPING", 1), undefined, "sleep"],
  [
    "SLEEPING, a request is being finished → waits",
    asleep("SLEEPING", 1),
    workload(0, 0, [replica("ending")], { asleep: true }),
    "",
  ],
  [
    "SLEEPING, the last replica has ended → ASLEEP",
    asleep("SLEEPING", 1),
    workload(0, 0, [], { asleep: true }),
    "ASLEEP 0/0",
  ],
  ["ASLEEP and said → nothing", asleep("ASLEEP", 2), workload(0, 0, [], { asleep: true }), ""],
  ["ASLEEP + scale → ASLEEP again", asleep("ASLEEP", 1), workload(0, 0, [], { asleep: true }), "ASLEEP 0/0"],
  ["ASLEEP, a new controller → sleep, for its own door", asleep("ASLEEP", 2), workload(0, 0, []), "sleep"],
  ["ASLEEP, someone started replicas → sleep", asleep("ASLEEP", 2), workload(1, 1, [ready]), "sleep"],
  ["WAKING → apply, nothing to say", running("WAKING", 3, 2), workload(0, 0, [], { asleep: true }), "apply"],
  ["WAKING, ready → DEPLOYED", running("WAKING", 3, 2), workload(3, 1, [ready]), "DEPLOYED 1/1"],
  [
    "WAKING, three exits in a row → FAILED CRASH_LOOP",
    running("WAKING", 3, 2),
    workload(3, 1, [looping]),
    "revert CRASH_LOOP, FAILED CRASH_LOOP 0/1",
  ],
  [
    "STOPPING a sleeper → remove",
    stopped("STOPPING", 1),
    workload(1, 1, [ready], { asleep: true }),
    "remove",
  ],
  ["DEPLOYED + scale 1→3 → apply", running("SCALING", 2, 1), workload(1, 1, [ready]), "apply"],
  [
    "SCALING, two still starting → waits",
    running("SCALING", 2, 1),
    workload(2, 3, [ready, starting, starting]),
    "1/3",
  ],
  [
    "SCALING, three ready → DEPLOYED",
    running("SCALING", 2, 1),
    workload(2, 3, [ready, ready, ready]),
    "DEPLOYED 3/3",
  ],
  [
    "SCALING 3→1, surplus ending → DEPLOYED",
    running("SCALING", 2, 1),
    workload(2, 1, [ready, replica("ending"), replica("ending")]),
    "DEPLOYED 1/1",
  ],
  [
    "DEPLOYED + scale to 0 → DEPLOYED with none",
    running("SCALING", 2, 1),
    workload(2, 0, []),
    "DEPLOYED 0/0",
  ],
  [
    "DEPLOYING, its image cannot be pulled yet → told, waits",
    running("DEPLOYING", 1, 0),
    workload(1, 1, [pulling]),
    "0/1",
  ],
  [
    "DEPLOYING, its image cannot be pulled in time → FAILED with that reason",
    running("DEPLOYING", 1, 0),
    workload(1, 2, [starting, pulling], late),
    "revert ImagePullBackOff, FAILED ImagePullBackOff 0/2",
  ],
  [
    "DEPLOYING, what waiting cannot help → FAILED at once",
    running("DEPLOYING", 1, 0),
    workload(1, 1, [misnamed]),
    "revert InvalidImageName, FAILED InvalidImageName 0/1",
  ],
  [
    "DEPLOYED, a new replica cannot be placed for good, others serve → a condition",
    running("DEPLOYED", 2, 2),
    workload(2, 2, [ready, misnamed]),
    "1/2",
  ],
  [
    "SCALING, no replica can be made for now → told, waits",
    running("SCALING", 2, 1),
    workload(2, 2, [ready], noRoom),
    "1/1",
  ],
  [
    "SCALING, no replica can be made in time → FAILED with that reason",
    running("SCALING", 2, 1),
    workload(2, 2, [ready], { ...noRoom, ...late }),
    "revert QuotaExceeded, FAILED QuotaExceeded 1/1",
  ],
  [
    "DEPLOYING, nothing was started in time → FAILED",
    running("DEPLOYING", 1, 0),
    workload(1, 1, [], late),
    "revert NEVER_READY, FAILED NEVER_READY 0/0",
  ],
  [
    "UPDATING, the old still serves → waits",
    running("UPDATING", 2, 1),
    workload(2, 1, [replica("ready", { template: "old" }), starting]),
    "1/2",
  ],
  [
    "UPDATING, exit code 78 → FAILED at once, revert",
    running("UPDATING", 2, 1),
    workload(2, 1, [replica("ready", { template: "old" }), fatal]),
    "revert PLUGIN_NOT_FOUND, FAILED PLUGIN_NOT_FOUND 1/2",
  ],
  [
    "DEPLOYING, three exits in a row → FAILED CRASH_LOOP",
    running("DEPLOYING", 1, 0),
    workload(1, 1, [looping]),
    "revert CRASH_LOOP, FAILED CRASH_LOOP 0/1",
  ],
  ["DEPLOYING, one exit → waits", running("DEPLOYING", 1, 0), workload(1, 1, [crashed]), "0/1"],
  [
    "DEPLOYING, no progress for a minute → FAILED NEVER_READY",
    running("DEPLOYING", 1, 0),
    workload(1, 1, [starting], { progressedAt: NOW - 60_000 }),
    "revert NEVER_READY, FAILED NEVER_READY 0/1",
  ],
  [
    "reverted, not said yet → FAILED again",
    running("UPDATING", 2, 1),
    workload(2, 1, [ready], { failure: { reason: "CRASH_LOOP", message: "x" } }),
    "FAILED CRASH_LOOP 1/1",
  ],
  [
    "FAILED and said → only what is seen",
    running("FAILED", 2, 2),
    workload(2, 1, [ready], { failure: { reason: "CRASH_LOOP", message: "x" } }),
    "1/1",
  ],
  [
    "FAILED, taken over, nothing runs → not tried again",
    running("FAILED", 2, 2),
    undefined,
    "revert FAILED_BEFORE",
  ],
  [
    "FAILED as refused, taken over or due again → tried again, nothing said",
    { ...running("FAILED", 2, 2), reason: "FORBIDDEN_BY_POLICY" },
    undefined,
    "apply",
  ],
  [
    "FAILED as refused, refused again → the counts alone",
    { ...running("FAILED", 2, 2), reason: "FORBIDDEN_BY_POLICY" },
    workload(2, 1, [ready], { failure: { reason: "FORBIDDEN_BY_POLICY", message: "No." }, retryAt: NOW + 1 }),
    "1/1",
  ],
  [
    "FAILED as refused, taken at last → DEPLOYING",
    { ...running("FAILED", 2, 2), reason: "QUOTA_EXCEEDED" },
    workload(2, 1, [starting]),
    "DEPLOYING 0/1",
  ],
  [
    "DEPLOYING after it had FAILED, ready → DEPLOYED",
    running("DEPLOYING", 2, 2),
    workload(2, 1, [ready]),
    "DEPLOYED 1/1",
  ],
  [
    "paused by a person: an update, drift and a failure wait, counts are told",
    running("UPDATING", 3, 2),
    workload(2, 1, [ready], { paused: true, drift: ["Service was removed"] }),
    "1/1",
  ],
  ["paused, to be deleted → waits", absent("DELETING", 1), workload(2, 1, [ready], { paused: true }), "1/1"],
  ["FAILED + update → apply", running("UPDATING", 3, 2), workload(2, 1, [ready]), "apply"],
  ["DEPLOYED, taken over, nothing runs → apply, phase stays", running("DEPLOYED", 2, 2), undefined, "apply"],
  [
    "DEPLOYED, a replica crashed → counts and conditions",
    running("DEPLOYED", 2, 2),
    workload(2, 2, [ready, crashed]),
    "1/2",
  ],
  [
    "DEPLOYED, one of two loops → no failure",
    running("DEPLOYED", 2, 2),
    workload(2, 2, [ready, looping]),
    "1/2",
  ],
  [
    "DEPLOYED, all loop → FAILED",
    running("DEPLOYED", 2, 2),
    workload(2, 2, [looping, looping]),
    "revert CRASH_LOOP, FAILED CRASH_LOOP 0/2",
  ],
  [
    "DEPLOYED, slow to come back → no failure",
    running("DEPLOYED", 2, 2),
    workload(2, 1, [starting], { progressedAt: NOW - 600_000 }),
    "0/1",
  ],
  [
    "ready again after many exits → no failure",
    running("DEPLOYING", 1, 0),
    workload(1, 1, [replica("ready", { failures: 5, exit: exit() })]),
    "DEPLOYED 1/1",
  ],
  ["STOPPING, runs → remove, keeping the rest", stopped("STOPPING", 1), workload(1, 1, [ready]), "remove"],
  [
    "STOPPING, ending → asks again, harmlessly",
    stopped("STOPPING", 1),
    workload(0, 0, [replica("ending")]),
    "remove",
  ],
  ["STOPPING, nothing runs → STOPPED", stopped("STOPPING", 1), workload(0, 0, []), "STOPPED 0/0"],
  ["STOPPED + update → seen", stopped("STOPPED", 1), undefined, "STOPPED 0/0"],
  ["STOPPED and said → silence", stopped("STOPPED", 2), undefined, ""],
  ["DELETING, runs → remove all", absent("DELETING", 1), workload(1, 1, [ready]), "remove all"],
  ["DELETING, only files are left → remove all", absent("DELETING", 1), workload(0, 0, []), "remove all"],
  ["DELETING, nothing left → DELETED", absent("DELETING", 1), undefined, "DELETED 0/0"],
  [
    "DEPLOYED, its namespace is being deleted, one serves → told as it is",
    running("DEPLOYED", 2, 2),
    workload(2, 2, [ready], { ...stuck, ...late }),
    "1/1",
  ],
  [
    "DEPLOYED, its namespace is being deleted, nothing left → told as it is, not applied",
    running("DEPLOYED", 2, 2),
    workload(0, 1, [], { ...stuck, gone: true }),
    "0/0",
  ],
  [
    "DEPLOYED, its namespace does not go in time → FAILED",
    running("DEPLOYED", 2, 2),
    workload(0, 1, [], { ...stuck, ...late, gone: true }),
    "FAILED NamespaceTerminating 0/0",
  ],
  [
    "FAILED for its namespace, which is still there → silence",
    { ...running("FAILED", 2, 2), reason: "NamespaceTerminating" },
    workload(0, 1, [], { ...stuck, ...late, gone: true }),
    "",
  ],
  [
    "FAILED for its namespace, which is gone → apply",
    { ...running("FAILED", 2, 2), reason: "NamespaceTerminating" },
    undefined,
    "apply",
  ],
  [
    "QUEUED, its namespace is being deleted → apply, which says so",
    running("QUEUED", 1, 0),
    workload(0, 1, [], { ...stuck, gone: true }),
    "apply, DEPLOYING 0/0",
  ],
  [
    "DELETING, nothing left but the namespace → DELETED",
    absent("DELETING", 1),
    workload(0, 1, [], { ...stuck, gone: true }),
    "DELETED 0/0",
  ],
  [
    "STOPPING, nothing left but the namespace → STOPPED",
    stopped("STOPPING", 1),
    workload(0, 1, [], { ...stuck, gone: true }),
    "STOPPED 0/0",
  ],
  [
    "STOPPING, only a Service is left in a namespace that is being deleted → STOPPED",
    stopped("STOPPING", 1),
    workload(0, 1, [], stuck),
    "STOPPED 0/0",
  ],
];

for (const [what, desired, observed, expected] of TABLE) {
  test(what, () => assert.equal(brief(decided(desired, observed)), expected));
}

test("what others changed is put back and told; a generation that was given up is left alone", () => {
  const drift = ["Deployment: replicas"];
  const edited = decided(running("DEPLOYED", 2, 2), workload(2, 1, [ready], { drift }));
  assert.equal(brief(edited), "apply, 1/1");
  assert.deepEqual(edited.report?.corrections, drift);
  const failure = { reason: "CRASH_LOOP", message: "It broke." };
  const failed = decided(running("FAILED", 2, 2), workload(2, 1, [ready], { drift, failure }));
  assert.equal(brief(failed), "1/1");
});

test("a waiting rollout is looked at again when its time is up", () => {
  const decision = decided(
    running("DEPLOYING", 1, 0),
    workload(1, 1, [starting], { progressedAt: NOW - 1000 }),
  );
  assert.equal(decision.wakeAt, NOW - 1000 + LIMITS.readyMs);
});

test("stopped and deleted agents need not be kept in mind; running ones do", () => {
  assert.ok(decided(stopped("STOPPING", 1), undefined).finished);
  assert.ok(decided(absent("DELETING", 1), undefined).finished);
  assert.ok(!decided(running("DEPLOYED", 2, 2), workload(2, 1, [ready])).finished);
});

test("a sleeper whose address has changed is told with the new one, once", () => {
  const asleepAt = (url?: string) =>
    decided(
      { ...asleep("ASLEEP", 2), ...(url === undefined ? {} : { url }) },
      workload(0, 0, [], { asleep: true }),
    ).report;
  assert.deepEqual(asleepAt("http://a.agents.localhost:1"), { url: "http://a" });
  assert.equal(asleepAt("http://a"), undefined);
  assert.equal(asleepAt(), undefined, "a database that does not say which address it shows");
});

test("a crash loop names the replica and its last words", () => {
  const { report } = decided(running("DEPLOYING", 1, 0), workload(1, 1, [looping]));
  assert.equal(report?.message, "Replica r ended 3 times in a row without staying up. It broke.");
});

test("what keeps a replica from coming up is a condition, and the reason when its time is up", () => {
  const failure = (replicas: ObservedReplica[], part: Partial<ObservedWorkload>) => {
    const { report } = decided(running("SCALING", 2, 1), workload(2, 2, replicas, part));
    const condition = report?.conditions?.find(({ type }) => type === "ReplicaFailure");
    return [condition?.reason, condition?.message, report?.message];
  };
  assert.deepEqual(failure([ready, pulling], {}), [
    "ImagePullBackOff",
    "r: The image cannot be pulled.",
    undefined,
  ]);
  assert.deepEqual(failure([ready, pulling], late), [
    "ImagePullBackOff",
    "r: The image cannot be pulled.",
    "Replica r was not ready within 60 s. The image cannot be pulled.",
  ]);
  assert.deepEqual(failure([ready], { ...noRoom, ...late }), [
    "QuotaExceeded",
    "The quota of pods is used up.",
    "Only 1 of 2 replicas could be started within 60 s. The quota of pods is used up.",
  ]);
});

test("an agent without a replica is told as scaled to 0 only where that is wanted", () => {
  const told = (desired: Desired, observed: ObservedWorkload | undefined, failed = false) => {
    const failure = { reason: "PLUGIN_NOT_FOUND", message: "Not there." };
    const provision = failed ? ({ state: "failed", failure } as const) : undefined;
    const situation = {
      desired,
      observed: observe(observed),
      conditions: [],
      url: "http://a",
      limits: LIMITS,
    };
    const { report } = decide({ ...situation, provision }, NOW);
    return report?.conditions?.find(({ type }) => type === "Available");
  };
  const failed = told(running("DEPLOYING", 1, 0), undefined, true);
  assert.deepEqual([failed?.reason, failed?.message], ["NO_REPLICA_READY", "No replica was started"]);
  assert.equal(told(running("DEPLOYED", 2, 2), workload(2, 0, []))?.message, "Scaled to 0 replicas");
});

test("conditions keep their time while their status stays", () => {
  const desired = running("DEPLOYED", 2, 2);
  const first = decided(desired, workload(2, 1, [ready])).report?.conditions ?? [];
  const again = decide(
    {
      desired,
      observed: observe(workload(2, 1, [crashed])),
      conditions: first,
      url: "http://a",
      limits: LIMITS,
    },
    NOW + 5000,
  );
  const times = Object.fromEntries(
    (again.report?.conditions ?? []).map((condition) => [
      condition.type,
      [condition.status, condition.lastTransitionTime],
    ]),
  );
  const [then, later] = [new Date(NOW).toISOString(), new Date(NOW + 5000).toISOString()];
  assert.deepEqual(times, {
    Available: ["False", later],
    Progressing: ["True", then],
    ReplicaFailure: ["True", later],
  });
});

test("what stands in front of the agent is a condition, where it tells", () => {
  const exposure = { status: "False", reason: "NotAllowedByListeners", message: "No." } as const;
  const exposed = (part: Partial<ObservedWorkload>) =>
    decided(running("DEPLOYED", 2, 2), workload(2, 1, [ready], part)).report?.conditions?.[3];
  assert.equal(exposed({}), undefined);
  assert.deepEqual(exposed({ exposure }), {
    type: "Exposed",
    ...exposure,
    lastTransitionTime: new Date(NOW).toISOString(),
  });
});

test("the application is as well as its replicas", () => {
  const health = (status: "ok" | "degraded") => ({ health: { status, responseTimeMs: 2 } });
  const status = (replicas: ObservedReplica[]) =>
    decided(running("DEPLOYED", 2, 2), workload(2, 2, replicas)).report?.application?.status;
  assert.equal(status([replica("ready", health("ok")), replica("ready", health("ok"))]), "HEALTHY");
  assert.equal(status([replica("ready", health("ok")), replica("ready", health("degraded"))]), "DEGRADED");
  assert.equal(status([replica("ready", health("ok")), crashed]), "DEGRADED");
  assert.equal(status([crashed, crashed]), "UNHEALTHY");
});
