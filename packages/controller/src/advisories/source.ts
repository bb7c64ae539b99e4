import { execFile } from "node:child_process";
import { promisify } from "node:util";

const BULK_PATH = "/-/npm/v1/security/advisories/bulk";

/**
 * The advisory endpoint: the setting where there is one ("off": none), else that of the registry npm is configured with, so
 * that whoever installs from a registry of their own asks that one.
 * @returns undefined where there is none, or no npm to ask
 */
export async function advisoryUrl(setting: string | undefined): Promise<string | undefined> {
  if (setting === "off") return undefined;
  if (setting !== undefined) return setting;
  try {
    const { stdout } = await promisify(execFile)("npm", ["config", "get", "registry"], { timeout: 10_000 });
    const registry = new URL(stdout.trim());
    return registry.href.replace(/\/+$/, "") + BULK_PATH;
  } catch {
    return undefined;
  }
}
