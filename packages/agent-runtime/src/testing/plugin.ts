// Plugins for tests: real packages where real ones would be, found by both engines, named so that two runs do not meet.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const modules = join(import.meta.dirname, "../../node_modules");

export interface TestPlugin extends Disposable {
  /** The package's name. */
  readonly name: string;
}

/**
 * Installs a package of one file beside the runtime.
 * @param engine which one it is for
 * @example using plugin = installPlugin("clock", "export default { name: 'clock', actions: [] };");
 */
export function installPlugin(kind: string, source: string, engine: "eliza" | "model" = "eliza"): TestPlugin {
  const name = `agent-launchpad-test-${kind}-${process.pid}`;
  const folder = join(modules, name);
  const peerDependencies = engine === "eliza" ? { "@elizaos/core": "*" } : {};
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name, version: "1.0.0", type: "module", main: "index.js", peerDependencies }),
  );
  writeFileSync(join(folder, "index.js"), source);
  return { name, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}
