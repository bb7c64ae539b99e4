// Asks npm's bulk endpoint for the known vulnerabilities of exact package versions.

import { z } from "zod";

/** A package whose advisories are wanted. */
export interface Target {
  package: string;
  version: string;
}

export interface Advisory {
  id: string;
  severity: string;
  title: string;
  url: string | null;
  vulnerable_versions: string | null;
}

/** What a look-up of one package gave; an error leaves open what is known of it. */
export type LookedUp = Target & ({ advisories: Advisory[] } | { error: string });

/** npm's bulk answer: package → the advisories that meet the versions asked for. */
const bulkAnswer = z.record(
  z.string(),
  z.array(
    z.object({
      id: z.union([z.number(), z.string()]),
      url: z.string().nullish(),
      title: z.string().nullish(),
      severity: z.string().nullish(),
      vulnerable_versions: z.string().nullish(),
    }),
  ),
);

const PER_REQUEST = 400;
const TIMEOUT_MS = 15_000;

/**
 * Asks npm's bulk advisory endpoint. A request names each package once, with one version, so that an answer is about exactly
 * that version; several versions of one package go in several requests. After a failure the rest is not asked.
 * @param url the endpoint
 * @returns one entry per target; never throws
 */
export async function lookUp(
  url: string,
  targets: readonly Target[],
  send: typeof fetch = fetch,
): Promise<LookedUp[]> {
  const results: LookedUp[] = [];
  let failure: string | undefined;
  for (const batch of batches(targets)) {
    const answer = failure === undefined ? await ask(url, batch, send) : { error: failure };
    if ("error" in answer) failure = answer.error;
    for (const target of batch) {
      results.push(
        "error" in answer
          ? { ...target, error: answer.error }
          : { ...target, advisories: answer.advisories.get(target.package) ?? [] },
      );
    }
  }
  return results;
}

/** Targets in groups in which no package comes twice. */
export function batches(targets: readonly Target[], size = PER_REQUEST): Target[][] {
  const rounds: Target[][] = [];
  const times = new Map<string, number>();
  for (const target of targets) {
    const round = times.get(target.package) ?? 0;
    times.set(target.package, round + 1);
    rounds[round] ??= [];
    rounds[round].push(target);
  }
  return rounds.flatMap((round) =>
    Array.from({ length: Math.ceil(round.length / size) }, (_, i) => round.slice(i * size, (i + 1) * size)),
  );
}

async function ask(
  url: string,
  batch: readonly Target[],
  send: typeof fetch,
): Promise<{ advisories: Map<string, Advisory[]> } | { error: string }> {
  const body = JSON.stringify(
    Object.fromEntries(batch.map(({ package: name, version }) => [name, [version]])),
  );
  let response: Response;
  let text: string;
  try {
    const headers = { "content-type": "application/json", accept: "application/json" };
    response = await send(url, { method: "POST", headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) });
    text = await response.text();
  } catch {
    return { error: "The advisory source does not answer" };
  }
  if (!response.ok) return { error: `The advisory source answered ${response.status}` };
  const parsed = bulkAnswer.safeParse(parseJson(text));
  if (!parsed.success) return { error: "The advisory source answered something else than advisories" };
  return {
    advisories: new Map(
      Object.entries(parsed.data).map(([name, list]) => [
        name,
        list.map((advisory) => ({
          id: /GHSA(-[\w]{4}){3}/.exec(advisory.url ?? "")?.[0] ?? String(advisory.id),
          severity: advisory.severity ?? "low",
          title: advisory.title ?? String(advisory.id),
          url: advisory.url ?? null,
          vulnerable_versions: advisory.vulnerable_versions ?? null,
        })),
      ]),
    ),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
