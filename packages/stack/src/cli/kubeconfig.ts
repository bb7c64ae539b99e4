// Finds the kubeconfig that `npm start -- --cluster kubernetes` uses.

import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { codeOf, StackError } from "@agent-launchpad/local-supabase/errors.ts";
import type { KubernetesTarget } from "../stack.ts";

/**
 * The cluster that was asked for, found as kubectl finds it: the flag, every file of KUBECONFIG, ~/.kube/config.
 * `kubeconfig` holds the paths that exist, separated as in KUBECONFIG; the controller merges them.
 * Throws StackError when there is no such file.
 */
export function kubernetesTarget(
  flags: { kubeconfig?: string; context?: string },
  env: NodeJS.ProcessEnv,
): KubernetesTarget {
  const listed = env.KUBECONFIG?.split(delimiter).filter((path) => path !== "") ?? [];
  const wanted = flags.kubeconfig ?? (listed.length > 0 ? listed : [join(homedir(), ".kube", "config")]);
  const paths = [wanted].flat().map((path) => resolve(path));
  const problems = paths.map(problemOf);
  const readable = paths.filter((_, index) => problems[index] === undefined);
  const unreadable = problems.find((code) => code !== undefined && code !== "ENOENT");
  if (readable.length === 0 || unreadable !== undefined) {
    const at = problems.findIndex((code) => code === (unreadable ?? "ENOENT"));
    throw new StackError(
      `The kubeconfig file ${paths[at]} cannot be read (${problems[at]}); name another one with --kubeconfig.`,
    );
  }
  const { context } = flags;
  return { kubeconfig: readable.join(delimiter), ...(context === undefined ? {} : { context }) };
}

/** Why a file cannot be read; undefined where it can. */
function problemOf(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}
