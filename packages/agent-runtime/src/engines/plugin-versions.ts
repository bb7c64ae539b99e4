// A plugin may be named with the version it must have: `name@1.2.3`. Whoever starts the runtime installed it, so an exact version is
// compared with the installed one, never fetched; what a range or a tag means was decided before.
import { ConfigurationError } from "../errors.ts";
import { isMcpPlugin } from "../plugins/built-in.ts";
import { installedVersion } from "./packages.ts";

const PINNED = /^(?<name>@?[^@]+)@(?<version>.+)$/;
const EXACT = /^\d+\.\d+\.\d+([+-].*)?$/;

/** The package's name and the version asked for, if any. An MCP server's address has none. */
export function parsePlugin(text: string): { name: string; version: string | undefined } {
  if (isMcpPlugin(text)) return { name: text, version: undefined };
  const { name, version } = PINNED.exec(text)?.groups ?? {};
  return name === undefined ? { name: text, version: undefined } : { name, version };
}

/**
 * The names alone, once every version asked for is the installed one. A package that is not installed at all is left to
 * whoever loads it.
 * @param from file URLs of the modules that plugins are looked up from
 * @throws ConfigurationError PLUGIN_NOT_FOUND naming every plugin of another version
 */
export function withoutPins(plugins: readonly string[], from: readonly string[]): string[] {
  const parsed = plugins.map(parsePlugin);
  const wrong = parsed.flatMap(({ name, version }) => {
    if (version === undefined || !EXACT.test(version)) return [];
    const installed = from
      .map((folder) => installedVersion(name, folder))
      .find((found) => found !== undefined);
    return installed === undefined || installed === version
      ? []
      : [`${name}@${version} (installed: ${installed})`];
  });
  if (wrong.length > 0) {
    throw new ConfigurationError(
      "PLUGIN_NOT_FOUND",
      `Not installed in this version where agents run: ${wrong.join(", ")}. Name the installed version, or none.`,
      { plugins: wrong },
    );
  }
  return [...new Set(parsed.map(({ name }) => name))];
}
