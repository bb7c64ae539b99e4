// The plugin store of this controller, put together.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { defaultElizaDir, installedEngine, runtimeProgram } from "@agent-launchpad/agent-runtime";
import { type Clock, jittered } from "../clock.ts";
import { errorMessage, type Log } from "../log.ts";
import type { PluginDatabase } from "./database.ts";
import { machineNpm, type Npm } from "./npm.ts";
import { Provisioner } from "./provision.ts";
import { remembered } from "./remembered.ts";
import { resolvePlugins } from "./resolve.ts";
import { SetStore } from "./set-store.ts";
import { PluginStore } from "./store.ts";
import { type Tree, treeId, treeSchema } from "./tree.ts";

export interface PluginOptions {
  /** The store's folder. */
  folder: string;
  database: PluginDatabase;
  clock: Clock;
  random: () => number;
  log: Log;
  /** Whether what `npm run install:eliza` installed is used. */
  prefilled: boolean;
  /** npm's own file; undefined = `npm` on the path. */
  npm: string | undefined;
  /** What the store of sets may hold. */
  maxBytes: number;
  /** Where agents run: `here`, or in pods that fetch their set. */
  agents: "here" | "pods";
}

export interface Plugins {
  provisioner: Provisioner;
  /** Where pods fetch their plugins from; undefined where agents run here. */
  sets: SetStore | undefined;
  stop(): Promise<void>;
}

const COLLECT_MS = 3_600_000;

/** Opens the store and begins to collect what nobody names. */
export async function openPlugins(options: PluginOptions): Promise<Plugins> {
  const { clock, database, log, random } = options;
  const base = readBase();
  const npm = machineNpm(npmEnvironment(options), options.npm);
  const store = options.agents === "pods" ? new SetStore({ ...options, npm }) : treeStore(options, npm, base);
  await store.open();
  let cancel = () => {};
  const plan = () => {
    cancel = clock.after(jittered(COLLECT_MS, 0.1, random), () => {
      void collect(store, database, clock, log).then(plan);
    });
  };
  plan();
  const provisioner = new Provisioner({
    database,
    store,
    clock,
    log,
    resolve: (entries) =>
      remembered(join(options.folder, "resolved"), entries, () =>
        resolvePlugins(entries, {
          npm,
          base,
          scratch: store.scratch,
          runtime: pathToFileURL(runtimeProgram).href,
          node: process.versions.node,
        }),
      ),
  });
  return {
    provisioner,
    sets: store instanceof SetStore ? store : undefined,
    async stop() {
      cancel();
      await store.close();
    },
  };
}

function treeStore(options: PluginOptions, npm: Npm, base: Tree): PluginStore {
  const { folder, log } = options;
  const prefilled =
    options.prefilled && installedEngine() ? { id: treeId(base), folder: defaultElizaDir } : undefined;
  return new PluginStore({ folder, npm, log, loader: join(defaultElizaDir, "load.mjs"), prefilled });
}

/** A pod's root is read-only: what npm keeps is in the store, and goes with the process. */
function npmEnvironment({ agents, folder }: PluginOptions): NodeJS.ProcessEnv {
  if (agents === "here") return process.env;
  const cache = join(folder, `.npm-${process.pid}-cache`);
  return { HOME: folder, npm_config_cache: cache, ...process.env, npm_config_logs_max: "0" };
}

async function collect(
  store: PluginStore | SetStore,
  database: PluginDatabase,
  clock: Clock,
  log: Log,
): Promise<void> {
  try {
    const gone = await store.collect(new Set(await database.wanted()), clock.now());
    if (gone.length > 0) log.info("the plugin store forgot what no revision names", { trees: gone.length });
  } catch (error) {
    log.warn("the plugin store could not be tidied up", { error: errorMessage(error) });
  }
}

/** The engine as this version of the product was tested with it. */
function readBase(): Tree {
  const read = (file: string): unknown => JSON.parse(readFileSync(join(defaultElizaDir, file), "utf8"));
  return treeSchema.parse({ manifest: read("package.json"), lock: read("package-lock.json") });
}
