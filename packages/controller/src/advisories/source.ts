// Decides which advisory endpoint is asked: the setting's, or the npm registry's.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const BULK_PATH = "/-/npm/v1/security/advisories/bulk";

/**
 * The advisory endpoint: the setting where there is one ("off": none), else that of the registry npm is configured with, so
 * that whoever installs from a registry of their own asks that one.
 * @returns undefined where there is none, or nobody to ask
 */
export async function advisoryUrl(setting: string | undefined): Promise<string | undefined> {
  if (setting === "off") return undefined;
  if (setting !== undefined) return setting;
  const registry = URL.parse((await configuredRegistry()).trim());
  return registry === null ? undefined : registry.href.replace(/\/+$/, "") + BULK_PATH;
}

/** An image has no npm; it says where its packages came from. */
const NOTED = new URL("../../../../registry", import.meta.url);

async function configuredRegistry(): Promise<string> {
  try {
    return (await promisify(execFile)("npm", ["config", "get", "registry"], { timeout: 10_000 })).stdout;
  } catch {
    return await readFile(NOTED, "utf8").catch(() => "");
  }
}
