// Explains why pods do not become ready or are not created, in words a person can act on: made of what the scheduler,
// the nodes and the cluster's controllers wrote. The reasons are Kubernetes' own words where it has one.

import { type Failure, type Hindrance, TERMINATING } from "../../cluster.ts";
import { BOUNDS } from "../manifests/namespace.ts";
import { CONTAINER } from "../names.ts";
import { lastWords, memoryWords } from "./last-words.ts";
import {
  type Condition,
  type ContainerStatus,
  conditionOf,
  containerOf,
  type Deployment,
  type EventNote,
  fetchOf,
  type Namespace,
  type Pod,
  type ReplicaSet,
  timeOf,
} from "./objects.ts";

/** Why a pod does not become ready; undefined where nothing says so, or only time is missing. */
export function hindranceOf(pod: Pod, warnings: readonly EventNote[]): Hindrance | undefined {
  const scheduled = conditionOf(pod.status?.conditions, "PodScheduled");
  if (scheduled?.status === "False") return unscheduled(scheduled);
  const own = warnings.filter(({ uid }) => uid === pod.metadata.uid);
  const status = containerOf(pod, CONTAINER);
  const { running, waiting } = status?.state ?? {};
  const fetching = fetchOf(pod);
  if (running === undefined && fetching !== undefined && fetching.state?.terminated?.exitCode !== 0) {
    return unfetched(pod, fetching, own);
  }
  if (running !== undefined)
    return failingProbe(own, timeOf(running.startedAt) ?? 0, status?.started === true);
  const reason = waiting?.reason ?? "";
  const image = status?.image || (pod.spec?.containers?.find(({ name }) => name === CONTAINER)?.image ?? "");
  if (PULLING.has(reason)) return unpulled(image, waiting?.message ?? "", own);
  if (reason === "InvalidImageName") {
    return { reason, message: `"${image}" is not the name of an image.`, fatal: true };
  }
  if (reason === "CreateContainerConfigError" || reason === "CreateContainerError") {
    return misconfigured(reason, waiting?.message ?? "");
  }
  if (status === undefined || reason === "ContainerCreating" || reason === "PodInitializing") {
    return unprepared(own);
  }
  return undefined;
}

/** The runtime's code for: a person must change something. */
const CONFIGURATION = 78;

/** Why the init step has not fetched the plugins yet. */
function unfetched(pod: Pod, status: ContainerStatus, warnings: readonly EventNote[]): Hindrance | undefined {
  const { running, terminated, waiting } = status.state ?? {};
  if (PULLING.has(waiting?.reason ?? ""))
    return unpulled(status.image ?? "", waiting?.message ?? "", warnings);
  const end = terminated ?? status.lastState?.terminated;
  if (end === undefined) return running === undefined ? unprepared(warnings) : undefined;
  const reason = "PLUGIN_INSTALL_FAILED";
  if (end.reason === "OOMKilled") {
    const limit = pod.spec?.containers?.find(({ name }) => name === CONTAINER)?.resources?.limits?.memory;
    const message = `Unpacking its plugins used more than its ${memoryWords(limit ?? "")} of memory. Give the agent more (resources.memory).`;
    return { reason, message, fatal: false };
  }
  const words = lastWords(end.message ?? "")?.message ?? `its init step ended with ${end.exitCode}`;
  if (end.exitCode === CONFIGURATION) return { reason, message: words, fatal: true };
  const cure =
    "It is tried again. If it goes on, ask an operator to look at the controller's port for plugins (docs/plugins.md).";
  return {
    reason,
    message: `${sentence("Its plugins could not be fetched from the controller", words)} ${cure}`,
    fatal: false,
  };
}

/** Why replicas that are wanted are not made. */
export function shortageOf(
  namespace: Namespace | undefined,
  deployment: Deployment | undefined,
  replicaSet: ReplicaSet | undefined,
): Hindrance | undefined {
  if (namespace?.status?.phase === "Terminating") return terminating(namespace);
  const failure =
    failureCondition(deployment?.status?.conditions) ?? failureCondition(replicaSet?.status?.conditions);
  return failure === undefined ? undefined : refused(failure.message ?? "");
}

function failureCondition(conditions: readonly Condition[] | undefined): Condition | undefined {
  const condition = conditionOf(conditions, "ReplicaFailure");
  return condition?.status === "True" ? condition : undefined;
}

/** "0/3 nodes are available: 1 Insufficient memory, 2 node(s) had untolerated taint {x: }. preemption: …" */
function unscheduled(condition: Condition): Hindrance {
  if (condition.reason === "SchedulingGated") {
    return { reason: "SchedulingGated", message: "Something in the cluster holds it back.", fatal: false };
  }
  const said = (condition.message ?? "").replace(/\s*(no new claims[^,]*,\s*)?preemption:.*$/s, "").trim();
  const [, nodes, why] = /^0\/(\d+) nodes are available:?\s*(.*?)\.?$/s.exec(said) ?? [];
  if (nodes === undefined) {
    return { reason: "Unschedulable", message: sentence("No node fits it", said), fatal: false };
  }
  const missing = [
    ...new Set([...(why ?? "").matchAll(/Insufficient (\w[\w./-]*\w)/g)].map(([, what]) => what)),
  ];
  const advice =
    missing.length === 0
      ? ""
      : ` A smaller size (${missing.join(", ")}), fewer replicas or another node would help.`;
  const among =
    nodes === "0" ? "There is no node" : `None of ${nodes} ${nodes === "1" ? "node" : "nodes"} fits it`;
  return { reason: "Unschedulable", message: `${sentence(among, why ?? "")}${advice}`, fatal: false };
}

const PULLING = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "ErrImageNeverPull",
  "ImageInspectError",
  "RegistryUnavailable",
  "SignatureValidationFailed",
]);

/** Of a failed pull: whether the image, the right to it, or the registry is what is missing. */
export type PullProblem = "missing" | "denied" | "unreachable" | "other";

/** Tells from the container runtime's words what a pull failed at. */
export function pullProblem(said: string): PullProblem {
  if (/unauthorized|authentication required|denied|forbidden|\b40[13]\b/i.test(said)) return "denied";
  if (/not found|manifest unknown|does not exist|NotFound|never pull|\b404\b/i.test(said)) return "missing";
  if (
    /no such host|timeout|timed out|refused|unreachable|reset|EOF|TLS|x509|too ?many ?requests|\b(429|50\d)\b|RegistryUnavailable/i.test(
      said,
    )
  ) {
    return "unreachable";
  }
  return "other";
}

/**
 * Two states follow each other while a pull fails, of which only one tells why: they are one reason here, told in the
 * same words.
 */
function unpulled(image: string, said: string, warnings: readonly EventNote[]): Hindrance {
  const detail = pullDetail(said, warnings);
  const message = {
    missing: `The image "${image}" does not exist in its registry.`,
    denied: `The registry does not give out the image "${image}": it may not exist, or pulling it takes a secret.`,
    unreachable: sentence(`The registry of the image "${image}" cannot be reached`, detail),
    other: sentence(`The image "${image}" cannot be pulled`, detail),
  }[pullProblem(detail)];
  return { reason: "ImagePullBackOff", message, fatal: false };
}

/** The container runtime's own words about a failed pull. */
export function pullDetail(said: string, warnings: readonly EventNote[]): string {
  const words = /^Back-off pulling image "[^"]*"(?::\s*(.*))?$/s.exec(said);
  const own = words === null ? said : (words[1] ?? "");
  const told =
    own ||
    (warnings.findLast(({ message, reason }) => reason === "Failed" && /failed to pull/i.test(message))
      ?.message ??
      "");
  return told
    .replace(/^(ErrImagePull|ImagePullBackOff):\s*/, "")
    .replace(/^Failed to pull (and unpack )?image "[^"]*":\s*/i, "")
    .replace(/^rpc error: code = (\w+) desc = /, "$1: ")
    .replace(/failed to pull and unpack image "[^"]*":\s*/i, "");
}

function misconfigured(reason: string, said: string): Hindrance {
  const [, kind, name] = /(secret|configmap) "([^"]+)" not found/i.exec(said) ?? [];
  if (kind !== undefined) {
    const message = `The ${kind.toLowerCase() === "secret" ? "Secret" : "ConfigMap"} "${name}" that it starts with is gone.`;
    return { reason: "MissingConfiguration", message, fatal: false };
  }
  const fatal = /runAsNonRoot|will run as root|non-numeric user/i.test(said);
  return { reason, message: sentence("Its container cannot be made", said), fatal };
}

/** A pod whose container is being made: what is in the way is told by events alone. */
function unprepared(warnings: readonly EventNote[]): Hindrance | undefined {
  const last = warnings.findLast(({ reason }) => PREPARING.has(reason));
  if (last === undefined) return undefined;
  const [, kind, name] = /(secret|configmap) "([^"]+)" not found/i.exec(last.message) ?? [];
  if (kind !== undefined) return misconfigured(last.reason, last.message);
  if (name === undefined && last.reason === "FailedMount") {
    return {
      reason: last.reason,
      message: sentence("A volume cannot be mounted", last.message),
      fatal: false,
    };
  }
  return { reason: last.reason, message: sentence("Its node cannot prepare it", last.message), fatal: false };
}

const PREPARING = new Set([
  "FailedMount",
  "FailedAttachVolume",
  "FailedCreatePodSandBox",
  "FailedCreatePodContainer",
  "NetworkNotReady",
  "Evicted",
]);

/** A container that runs and is not ready: the probe that fails in this life of it. */
function failingProbe(
  warnings: readonly EventNote[],
  startedAt: number,
  started: boolean,
): Hindrance | undefined {
  const probe = started ? /^(Readiness|Liveness) probe/ : /^(Startup|Readiness|Liveness) probe/;
  const last = warnings.findLast(
    ({ at, message, reason }) => reason === "Unhealthy" && at >= startedAt && probe.test(message),
  );
  if (last === undefined) return undefined;
  const [, which, why] = /^(\w+) probe (?:failed|errored)[^:]*:?\s*(.*)$/s.exec(last.message) ?? [];
  const name = (which ?? "readiness").toLowerCase();
  return { reason: "ProbeFailing", message: sentence(`Its ${name} probe fails`, why ?? ""), fatal: false };
}

/** Whether a probe's failure ended the life between these times. */
export function killedByProbe(
  warnings: readonly EventNote[],
  startedAt: number,
  finishedAt: number,
): Failure | undefined {
  const last = warnings.findLast(
    ({ at, message, reason }) =>
      reason === "Unhealthy" &&
      /^(Startup|Liveness) probe/.test(message) &&
      at >= startedAt &&
      at <= finishedAt + 60_000,
  );
  if (last === undefined) return undefined;
  const why = last.message.replace(/^\w+ probe (failed|errored)[^:]*:?\s*/s, "");
  return last.message.startsWith("Startup")
    ? { reason: "NEVER_READY", message: sentence("It did not start in time and was ended", why) }
    : { reason: "UNHEALTHY", message: sentence("It did not answer its liveness probe and was ended", why) };
}

/** The API server refused a pod. */
function refused(said: string): Hindrance {
  const why = said.replace(/^pods? "[^"]*" is forbidden: |^Pod "[^"]*" is invalid: /, "");
  if (/exceeded quota/.test(why)) return { reason: "QuotaExceeded", message: overQuota(why), fatal: false };
  if (/is being terminated|being deleted/.test(why)) return terminating(undefined);
  if (/violates PodSecurity/.test(why)) {
    return { reason: "PodSecurity", message: sentence("The cluster's policy refuses it", why), fatal: true };
  }
  // A LimitRange's words: "maximum memory usage per Container is 1Gi, but limit is 2Gi".
  if (/(maximum|minimum) .* usage per/.test(why)) {
    return {
      reason: "LimitExceeded",
      message: sentence("Its size is outside what the user may have", why),
      fatal: true,
    };
  }
  return { reason: "FailedCreate", message: sentence("The cluster does not take it", why), fatal: false };
}

/** "exceeded quota: agents, requested: limits.memory=512Mi,pods=1, used: limits.memory=1Gi,…, limited: …" */
function overQuota(why: string): string {
  const part = (name: string) =>
    new Map(
      (new RegExp(`${name}: ([^ ]+?)(?:, \\w+:|$)`).exec(why)?.[1] ?? "")
        .split(",")
        .map((pair) => pair.split("=") as [string, string | undefined]),
    );
  const [requested, used, limited] = [part("requested"), part("used"), part("limited")];
  const parts = [...limited].map(
    ([name, limit]) =>
      `${used.get(name)} of ${limit} ${name} are used, ${requested.get(name)} more is asked for`,
  );
  const [, quota] = /exceeded quota: ([^,]+)/.exec(why) ?? [];
  const whose =
    quota === undefined || quota === BOUNDS ? "The user's quota" : `The quota ${quota} of the namespace`;
  return sentence(`${whose} is used up`, parts.join("; ") || why);
}

/** What keeps agents from a namespace that is being deleted. */
export function terminating(namespace: Namespace | undefined): Hindrance {
  const stuck = namespace?.status?.conditions?.find(
    ({ status, type }) =>
      status === "True" &&
      /^Namespace(DeletionDiscovery|DeletionGroup|DeletionContent|ContentRemaining|FinalizersRemaining)/.test(
        type,
      ),
  );
  return {
    reason: TERMINATING,
    message: sentence(
      "The user's namespace is being deleted; until it is gone nothing can be started in it",
      stuck?.message ?? "",
    ),
    fatal: false,
  };
}

/** "Head: detail." with the detail in one line, not too long. */
export function sentence(head: string, detail: string): string {
  const clean = detail
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, 400)
    .replace(/[.:,;\s]+$/, "");
  return clean === "" ? `${head}.` : `${head}: ${clean}.`;
}
