// Faults of plugins that no call of ours returns: a rejection that the plugin leaves alone, an end of the process that it asks
// for. By the stack they are found to be a plugin's, and named after it.

/** The npm package that a line of a stack is in: the innermost one. */
const PACKAGE = /[\\/]node_modules[\\/]((?:@[^\\/\s]+[\\/])?[^\\/\s]+)[\\/](?!.*[\\/]node_modules[\\/])/;

/** A fault outside every call: whose it is, and in which words. */
export interface PluginFault {
  readonly plugin: string;
  readonly error: unknown;
}

/**
 * Whose code a stack comes from: the first of the named plugins that it passes through, else undefined.
 * A package that a plugin brings along counts as the plugin's where it lies below it; elsewhere the plugin's own frames tell.
 * @param stack of an error
 * @param plugins names of the packages that are plugins
 */
export function pluginOf(stack: string | undefined, plugins: readonly string[]): string | undefined {
  for (const line of (stack ?? "").split("\n")) {
    if (!/^\s+at\s/.test(line)) continue;
    const below = plugins.find((name) => line.includes(`/node_modules/${name}/`));
    if (below !== undefined) return below;
  }
  return undefined;
}

/** The package a stack begins in, for faults of code that no plugin's frame shows. */
export function packageOf(stack: string | undefined): string | undefined {
  for (const line of (stack ?? "").split("\n")) {
    const name = /^\s+at\s/.test(line) ? PACKAGE.exec(line)?.[1] : undefined;
    if (name !== undefined) return name.replaceAll("\\", "/");
  }
  return undefined;
}
