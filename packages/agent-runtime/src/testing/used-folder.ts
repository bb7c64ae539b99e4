// The folder of an elizaOS agent that started once: half of a first start goes into making its database.
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { BOOTSTRAP } from "../engines/eliza/installation.ts";
import { needsEliza } from "../engines/packages.ts";
import { compileCacheDir, defaultElizaDir } from "../paths.ts";
import type { RunningAgent } from "./agent.ts";
import { skipEliza } from "./eliza.ts";

const cache = dirname(compileCacheDir);
const engine = join(import.meta.dirname, "../engines/eliza");

/** What of an agent's configuration decides its folder. */
interface Configuration {
  readonly plugins?: readonly string[];
  readonly character?: { readonly name?: string };
}

/** Starts an agent: `startAgent` of agent.ts, which imports this file. */
type Start = (options: {
  config: Record<string, unknown>;
  environment: Record<string, string>;
}) => Promise<RunningAgent>;

/** Copies one into a folder, where the plugins make its agent one of elizaOS. */
export async function copyUsedFolder(
  start: Start,
  to: string,
  { plugins = [], character }: Configuration,
  elizaDir: string = defaultElizaDir,
): Promise<void> {
  const from = pathToFileURL(join(elizaDir, "package.json")).href;
  if (skipEliza === false && plugins.some((name) => needsEliza(name, from)))
    cpSync(await usedFolder(start, character?.name ?? NAMELESS), to, { recursive: true });
}

/** Stands for an agent without a character's name. */
const NAMELESS = "tester";

const made = new Map<string, Promise<string>>();

/** The folder of an agent of that name, by which elizaOS remembers its replies. */
function usedFolder(start: Start, name: string): Promise<string> {
  const folder = made.get(name) ?? make(start, name);
  made.set(name, folder);
  return folder;
}

/** Makes it, unless it is kept from an earlier run with this elizaOS and this engine. */
async function make(start: Start, name: string): Promise<string> {
  const version = fingerprint();
  const folder = join(cache, `eliza-${version}-${name}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  for (const old of readdirSync(cache))
    if (old.startsWith("eliza-") && !old.startsWith(`eliza-${version}-`))
      rmSync(join(cache, old), { recursive: true, force: true });
  const draft = mkdtempSync(join(cache, "draft-"));
  const state = join(draft, "state");
  try {
    await using agent = await start({
      config: { plugins: [BOOTSTRAP], ...(name !== NAMELESS && { character: { name } }) },
      environment: { AGENT_STATE_DIR: state },
    });
    agent.process.kill("SIGTERM");
    await agent.exited;
    renameSync(state, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error; // another file of tests was first
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

/** Of what decides the database: elizaOS's packages and the engine's own code. */
function fingerprint(): string {
  const hash = createHash("sha256").update(readFileSync(join(defaultElizaDir, "package-lock.json")));
  const sources = readdirSync(engine).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));
  for (const name of sources.toSorted()) hash.update(readFileSync(join(engine, name)));
  return hash.digest("hex").slice(0, 16);
}
