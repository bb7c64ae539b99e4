// Compares an object as applied with the object in the cluster.

import type { JsonPatch, KubeObject } from "./api.ts";
import { parseQuantity } from "./quantity.ts";

/** How a live object differs from what was asked for. */
export interface Differences {
  /** Fields that are not as applied: an apply puts them back. As words: `spec.replicas`, `…containers[agent].image`. */
  changed: string[];
  /** What somebody added where it matters: an apply leaves it, so it is taken out on its own. */
  added: { path: string; words: string }[];
}

/** Fields that the API server fills in, per kind; every other field in a spec that was not asked for is an addition. */
const DEFAULTED: Record<string, readonly RegExp[]> = {
  Deployment: [
    /^spec\.replicas$/,
    /^spec\.template\.metadata\.(creationTimestamp|annotations)$/,
    /^spec\.template\.spec\.(restartPolicy|dnsPolicy|schedulerName|serviceAccount)$/,
    /^spec\.template\.spec\.(initContainers|containers)\[\]\.(terminationMessagePath|imagePullPolicy)$/,
    /^spec\.template\.spec\.containers\[\]\.(startup|readiness|liveness)Probe\.successThreshold$/,
    /^spec\.template\.spec\.containers\[\]\.(startup|readiness|liveness)Probe\.httpGet\.scheme$/,
    /^spec\.template\.spec\.containers\[\]\.env\[\]\.valueFrom\.fieldRef\.apiVersion$/,
    /^spec\.template\.spec\.volumes\[\]\.(configMap|secret)\.defaultMode$/,
    /^spec\.template\.spec\.topologySpreadConstraints\[\]\.(nodeAffinityPolicy|nodeTaintsPolicy)$/,
  ],
  Service: [/^spec\.(clusterIP|clusterIPs|internalTrafficPolicy|ipFamilies|ipFamilyPolicy|sessionAffinity)$/],
  HorizontalPodAutoscaler: [/^spec\.behavior$/],
  Ingress: [/^spec\.ingressClassName$/],
  HTTPRoute: [],
  NetworkPolicy: [],
  PodDisruptionBudget: [],
  ResourceQuota: [],
  LimitRange: [],
};

/** Below these, texts are quantities: `1000m` is `1`. */
const QUANTITIES = /(^|\.)(requests|limits|hard|max|min|default|defaultRequest|emptyDir)(\[\])?\.[^.]+$/;

/**
 * Compares what is asked for with what there is. Fields that others hold elsewhere (status, labels, annotations) are
 * theirs.
 * @param ignore fields of the wish that do not count
 */
export function compare(wanted: KubeObject, live: KubeObject, ignore: readonly string[] = []): Differences {
  const differences: Differences = { changed: [], added: [] };
  const walk: Walk = { differences, ignore, defaulted: DEFAULTED[wanted.kind] };
  const { metadata, ...fields } = wanted;
  for (const part of ["labels", "annotations"] as const) {
    if (metadata[part] !== undefined) {
      walkValue(walk, metadata[part], live.metadata[part] ?? {}, place(`metadata.${part}`), false);
    }
  }
  for (const [name, value] of Object.entries(fields)) {
    if (name === "apiVersion" || name === "kind") continue;
    walkValue(walk, value, live[name], { words: name, shape: name, pointer: `/${name}` }, name === "spec");
  }
  return differences;
}

/** The operations that take out what was added: later elements of a list first, so that earlier ones keep their place. */
export function removals(added: Differences["added"]): JsonPatch[] {
  return [...added].reverse().map(({ path }) => ({ op: "remove", path }));
}

interface Walk {
  differences: Differences;
  ignore: readonly string[];
  defaulted: readonly RegExp[] | undefined;
}

interface Place {
  /** For people: `spec.containers[agent].image`. */
  words: string;
  /** For patterns: `spec.containers[].image`. */
  shape: string;
  /** For a patch: `/spec/containers/0/image`. */
  pointer: string;
}

function place(words: string): Place {
  return { words, shape: words, pointer: `/${words.replaceAll(".", "/")}` };
}

function walkValue(walk: Walk, wanted: unknown, live: unknown, at: Place, strict: boolean): void {
  const { changed } = walk.differences;
  if (walk.ignore.includes(at.shape)) return;
  if (Array.isArray(wanted)) {
    if (Array.isArray(live)) walkList(walk, wanted, live, at, strict);
    else changed.push(at.words);
  } else if (isRecord(wanted)) {
    if (isRecord(live)) walkFields(walk, wanted, live, at, strict);
    else if (live !== undefined || Object.keys(wanted).length > 0) changed.push(at.words);
  } else if (wanted !== live && !(QUANTITIES.test(at.shape) && quantityOf(wanted) === quantityOf(live))) {
    changed.push(at.words);
  }
}

function walkFields(
  walk: Walk,
  wanted: Record<string, unknown>,
  live: Record<string, unknown>,
  at: Place,
  strict: boolean,
): void {
  for (const [name, value] of Object.entries(wanted)) {
    walkValue(walk, value, live[name], field(at, name), strict);
  }
  if (!strict || walk.defaulted === undefined) return;
  for (const [name, value] of Object.entries(live)) {
    if (name in wanted || isEmpty(value)) continue;
    const there = field(at, name);
    if (walk.ignore.includes(there.shape)) continue;
    if (walk.defaulted.some((pattern) => pattern.test(there.shape))) continue;
    // Labels of pods are how others find them; they change nothing of what runs.
    if (at.shape.endsWith("metadata.labels")) continue;
    walk.differences.added.push({ path: there.pointer, words: there.words });
  }
}

/** Elements are the same when their names are, or, without names, when their places are. */
function walkList(walk: Walk, wanted: unknown[], live: unknown[], at: Place, strict: boolean): void {
  const used = new Set<number>();
  wanted.forEach((value, index) => {
    const key = nameOf(value);
    const found = key === undefined ? index : live.findIndex((one) => nameOf(one) === key);
    used.add(found);
    const there = element(at, key ?? String(index), found === -1 ? index : found);
    if (found === -1 || found >= live.length) walk.differences.changed.push(there.words);
    else walkValue(walk, value, live[found], there, strict);
  });
  live.forEach((value, index) => {
    if (used.has(index)) return;
    const there = element(at, nameOf(value) ?? String(index), index);
    walk.differences.added.push({ path: there.pointer, words: there.words });
  });
}

function field(at: Place, name: string): Place {
  const escaped = name.replaceAll("~", "~0").replaceAll("/", "~1");
  return {
    words: `${at.words}.${name}`,
    shape: `${at.shape}.${name}`,
    pointer: `${at.pointer}/${escaped}`,
  };
}

function element(at: Place, name: string, index: number): Place {
  return { words: `${at.words}[${name}]`, shape: `${at.shape}[]`, pointer: `${at.pointer}/${index}` };
}

function nameOf(value: unknown): string | undefined {
  if (!isRecord(value)) return undefined;
  return typeof value.name === "string" ? value.name : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Nothing is said by it: `null`, `{}`, `[]`, `false`, `""`. */
function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isRecord(value)) return Object.values(value).every(isEmpty);
  return value === null || value === undefined || value === false || value === "";
}

/** The number that a quantity means; not a number where it is none. */
export function quantityOf(value: unknown): number {
  if (typeof value === "number") return value;
  return (typeof value === "string" ? parseQuantity(value) : undefined) ?? Number.NaN;
}
