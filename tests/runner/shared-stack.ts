// The stacks that scenarios and hostile tests share: one for each file that runs at a time, started once a run.
import "./clean-environment.ts";
import type { TestProject } from "vitest/node";
import { startTestStack } from "../helpers/stack.ts";

/** Starts them, unless they run already for another project or one was named from outside. */
export default async function sharedStacks(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { env } = process;
  if (env.LAUNCHPAD_TEST_STACK || env.LAUNCHPAD_TEST_STACKS) return undefined;
  const count = Math.min(project.config.maxWorkers, await countFiles(project));
  const stacks = await Promise.all(Array.from({ length: count }, () => startTestStack()));
  env.LAUNCHPAD_TEST_STACKS = JSON.stringify(stacks.map(({ info }) => info));
  return async () => {
    delete env.LAUNCHPAD_TEST_STACKS;
    await Promise.all(stacks.map((stack) => stack.stop()));
  };
}

/** How many files of this run share a stack. */
async function countFiles({ vitest, globalConfig }: TestProject): Promise<number> {
  if (globalConfig.changed) return Number.POSITIVE_INFINITY; // they are found later
  // What was written behind the command; vitest's types leave it out.
  const { filenamePattern } = vitest as unknown as { filenamePattern?: string[] };
  const files = await vitest.globTestSpecifications(filenamePattern);
  return files.filter(({ project }) =>
    [project.config.globalSetup].flat().some((file) => file.includes("shared-stack")),
  ).length;
}
