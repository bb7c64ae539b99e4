// Reports the health of the registry that agents' images come from.

import { request } from "undici";
import type { Clock } from "../../../clock.ts";
import { CONTAINER, LABELS } from "../names.ts";
import { kept } from "./concurrency.ts";
import { containerOf, type EventNote, type Pod } from "./objects.ts";
import { pullDetail, pullProblem } from "./reasons.ts";
import type { ClusterView } from "./view.ts";

/** How the registry that the agents' image comes from is; it is told to the database with each heartbeat. */
export interface RegistryHealth {
  status: "HEALTHY" | "DEGRADED" | "UNKNOWN";
  message?: string;
}

export interface RegistryOptions {
  view: Pick<ClusterView, "pods" | "objects">;
  image: string;
  clock: Clock;
  /** Whether the registry at this host answers. */
  reach?: (host: string) => Promise<boolean>;
  everyMs?: number;
}

const PULLING = new Set(["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"]);
const TIMEOUT_MS = 3000;

/**
 * Judges the registry by what the nodes met when they pulled, and by asking it. The nodes' word counts first: they pull,
 * and where the controller cannot reach the registry, they may.
 */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #reached: () => Promise<boolean | undefined>;

  constructor(options: RegistryOptions) {
    this.#options = options;
    const { clock, everyMs = 60_000, image, reach = answers } = options;
    const host = registryHost(image);
    this.#reached = kept(clock, everyMs, async () => (host === undefined ? undefined : await reach(host)));
  }

  async health(): Promise<RegistryHealth> {
    const problems = [...this.#options.view.pods()].flatMap(
      (pod) => failedPull(pod, this.#options.view) ?? [],
    );
    const unreachable = problems.find(({ kind }) => kind === "unreachable");
    const first = unreachable ?? problems[0];
    if (first !== undefined) return { status: "DEGRADED", message: first.message };
    return { status: (await this.#reached()) ? "HEALTHY" : "UNKNOWN" };
  }
}

function failedPull(
  pod: Pod,
  view: Pick<ClusterView, "objects">,
): { kind: string; message: string } | undefined {
  const waiting = containerOf(pod, CONTAINER)?.state?.waiting;
  if (waiting?.reason === undefined || !PULLING.has(waiting.reason)) return undefined;
  const agentId = pod.metadata.labels?.[LABELS.agent] ?? "";
  const warnings: EventNote[] = view.objects(agentId).warnings.filter(({ uid }) => uid === pod.metadata.uid);
  const kind = pullProblem(pullDetail(waiting.message ?? "", warnings));
  const message = {
    unreachable: "Nodes cannot reach the registry of the agents' image.",
    denied: "The registry does not give out the agents' image.",
    missing: "The registry does not have the agents' image.",
    other: "Nodes cannot pull the agents' image.",
  }[kind];
  return { kind, message };
}

/** The host in an image's name; undefined where it has none, so that each node decides whom it asks. */
export function registryHost(image: string): string | undefined {
  const [first, ...rest] = image.split("/");
  if (first === undefined || rest.length === 0) return undefined;
  return first === "localhost" || /[.:]/.test(first) ? first : undefined;
}

/** A registry answers its version check, also with: not without a login. */
async function answers(host: string): Promise<boolean> {
  try {
    const { body, statusCode } = await request(`https://${host}/v2/`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await body.dump();
    return statusCode === 200 || statusCode === 401;
  } catch {
    return false;
  }
}
