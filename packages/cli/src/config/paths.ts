// Finds the user's configuration folder.

import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * The user's configuration folder: $XDG_CONFIG_HOME, %APPDATA% on Windows, else ~/.config. Pure but for the home folder.
 * @param env the environment
 * @param platform as process.platform
 */
export function configFolder(
  env: Readonly<Record<string, string | undefined>>,
  platform: NodeJS.Platform = process.platform,
): string {
  const xdg = env.XDG_CONFIG_HOME;
  if (xdg && isAbsolute(xdg)) return join(xdg, "launchpad"); // the standard ignores relative paths
  if (platform === "win32" && env.APPDATA) return join(env.APPDATA, "launchpad");
  return join(env.HOME || homedir(), ".config", "launchpad");
}
