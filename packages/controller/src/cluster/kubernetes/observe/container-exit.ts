// Reads from a pod how the agent's container ended last.

import { constants } from "node:os";
import type { ReplicaExit } from "../../cluster.ts";
import { explainExit } from "../../exit-reason.ts";
import { CONTAINER } from "../names.ts";
import { lastEnd } from "./crashes.ts";
import { lastWords, memoryWords } from "./last-words.ts";
import { type EventNote, type Pod, type Terminated, timeOf } from "./objects.ts";
import { killedByProbe } from "./reasons.ts";

/** The runtime's code for: a person must change something. */
const CONFIGURATION = 78;
/** A shell's way to say which signal ended a process. */
const SIGNALLED = 128;

/**
 * How the agent's container ended last; undefined when it never did.
 * @param redact takes secrets out of its last words
 */
export function exitOf(
  pod: Pod,
  warnings: readonly EventNote[],
  redact: <T>(value: T) => T,
): ReplicaExit | undefined {
  const end = lastEnd(pod);
  if (end === undefined) return undefined;
  const signal = signalOf(end);
  const code = signal === null ? end.exitCode : null;
  const at = timeOf(end.finishedAt) ?? 0;
  const fatal = end.exitCode === CONFIGURATION;
  return { code, signal, at, fatal, ...explain(pod, end, signal, warnings, redact) };
}

function explain(
  pod: Pod,
  end: Terminated,
  signal: string | null,
  warnings: readonly EventNote[],
  redact: <T>(value: T) => T,
): { reason: string; message: string } {
  const last = lastWords(end.message ?? "");
  const words = last === undefined ? undefined : redact(last);
  switch (end.reason) {
    case "OOMKilled": {
      const limit = pod.spec?.containers?.find(({ name }) => name === CONTAINER)?.resources?.limits?.memory;
      const of = limit === undefined ? "the memory of its node" : `its ${memoryWords(limit)} of memory`;
      return { reason: "OOMKilled", message: `It used more than ${of} and was ended.` };
    }
    case "ContainerStatusUnknown":
      return { reason: "CRASHED", message: "Its node lost sight of it." };
    case "StartError":
    case "ContainerCannotRun":
    case "RunContainerError":
      return explainExit({ code: null, signal: null, failed: redact(oneLine(end.message ?? "")) }, undefined);
  }
  // The runtime ends in good order when it is told to, whoever tells it.
  if (signal === "SIGKILL" || signal === "SIGTERM" || end.exitCode === 0) {
    const own = warnings.filter(({ uid }) => uid === pod.metadata.uid);
    const probe = killedByProbe(own, timeOf(end.startedAt) ?? 0, timeOf(end.finishedAt) ?? 0);
    if (probe !== undefined) return probe;
  }
  return explainExit({ code: end.exitCode, signal }, words);
}

function signalOf({ exitCode, signal }: Terminated): string | null {
  const number =
    signal !== undefined && signal > 0 ? signal : exitCode > SIGNALLED ? exitCode - SIGNALLED : 0;
  const known = Object.entries(constants.signals).find(([, value]) => value === number);
  return known?.[0] ?? null;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, 500);
}
