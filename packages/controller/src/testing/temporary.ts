// Folders, workloads and waiting for tests of the controller.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "vitest";
import type { Workload } from "../cluster/cluster.ts";
import { processMark } from "../cluster/processes/system.ts";
import type { AgentSpec } from "../contract.ts";
import { templateOf } from "../reconcile/template.ts";
import { specOf } from "./memory-database.ts";

/** The command that starts the fake runtime. */
export const FAKE_RUNTIME = [process.execPath, resolve(import.meta.dirname, "fake-runtime.ts")];

/** A folder that goes with the test. */
export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-controller-"));
  context.onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A workload of the fake runtime. */
export function workloadOf(
  part: Partial<Omit<Workload, "spec">> & {
    spec?: Partial<AgentSpec>;
    settings?: Record<string, unknown>;
  } = {},
): Workload {
  const spec = specOf({ ...part.spec, settings: part.settings ?? {} });
  const generation = part.generation ?? 1;
  return {
    agentId: "agent-a",
    userId: null,
    quota: null,
    class: null,
    generation,
    revision: generation,
    template: templateOf(spec, 0),
    replicas: 1,
    environment: {},
    ...part,
    spec,
  };
}

/** Resolves when the condition holds; fails the test after `limitMs`. Looks at once after each `wake` and every 20 ms. */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 60_000,
): Promise<T> {
  const end = Date.now() + limitMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > end) throw new Error(`Not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether a process with this id lives; one that ended and that nobody has buried yet does not. */
export function lives(pid: number): boolean {
  return processMark(pid) !== undefined;
}
