// Which project and which login a command means, standing in a folder: read from options, environment, logins and local stack.
import { findLocalStack, type LocalStack } from "./local-stack.ts";
import { type Project, resolveProject, sameUrl } from "./project.ts";
import type { Store } from "./store.ts";

export interface Here {
  readonly project: Project;
  /** Under which name the login is kept. */
  readonly profile: string;
  readonly localStack: LocalStack | undefined;
  /** The default profile's address, where the folder's own stack came before it. */
  readonly passedOver?: string;
}

export interface HereSources {
  readonly flags: { url?: string; key?: string; apiUrl?: string; profile?: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly store: Store;
  /** The working directory. */
  readonly from: string;
}

/** The profile that a person named; undefined: the default one. */
export const namedProfile = (flags: HereSources["flags"], env: HereSources["env"]): string | undefined =>
  flags.profile || env.LAUNCHPAD_PROFILE || undefined;

/**
 * Finds the project and the login that are meant.
 * A folder's stack keeps its own login where the default profile belongs to another project: neither overwrites the other.
 * @throws CliError as resolveProject
 */
export async function findHere({ flags, env, store, from }: HereSources): Promise<Here> {
  const named = namedProfile(flags, env);
  const [stored, localStack] = await Promise.all([
    store.profile(named ?? DEFAULT_PROFILE),
    findLocalStack(from),
  ]);
  const project = resolveProject({ flags, env, profile: stored, named: named !== undefined, localStack });
  const passedOver =
    named === undefined && project.source === "local stack" && !sameUrl(stored?.url, project.url)
      ? stored?.url
      : undefined;
  if (passedOver === undefined) return { project, profile: named ?? DEFAULT_PROFILE, localStack };
  return { project, profile: `stack-${new URL(project.url).port}`, localStack, passedOver };
}

export const DEFAULT_PROFILE = "default";
