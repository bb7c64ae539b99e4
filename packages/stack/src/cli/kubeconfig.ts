import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { codeOf, StackError } from "../errors.ts";
import type { KubernetesTarget } from "../stack.ts";

/**
 * The cluster that was asked for, found as kubectl finds it: the flag, the first file of KUBECONFIG, ~/.kube/config.
 * Throws StackError when there is no such file.
 */
export function kubernetesTarget(
  flags: { kubeconfig?: string; context?: string },
  env: NodeJS.ProcessEnv,
): KubernetesTarget {
  const named = flags.kubeconfig ?? env.KUBECONFIG?.split(delimiter).find((path) => path !== "");
  const kubeconfig = resolve(named ?? join(homedir(), ".kube", "config"));
  try {
    accessSync(kubeconfig, constants.R_OK);
  } catch (error) {
    throw new StackError(
      `The kubeconfig file ${kubeconfig} cannot be read (${codeOf(error)}); name another one with --kubeconfig.`,
    );
  }
  return { kubeconfig, ...(flags.context === undefined ? {} : { context: flags.context }) };
}
