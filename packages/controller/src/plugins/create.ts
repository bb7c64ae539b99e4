// The plugin store of this controller, put together.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { defaultElizaDir, installedEngine, runtimeProgram } from "@agent-launchpad/agent-runtime";
import type { AdvisoryDatabase } from "../advisories/database.ts";
import { lookUp } from "../advisories/npm.ts";
import { type Clock, jittered } from "../clock.ts";
import { errorMessage, type Log } from "../log.ts";
import type { PluginDatabase } from "./database.ts";
import { machineNpm } from "./npm.ts";
import { Provisioner } from "./provision.ts";
import { remembered } from "./remembered.ts";
import { resolvePlugins } from "./resolve.ts";
import { PluginStore } from "./store.ts";
import { type Tree, treeId, treeSchema } from "./tree.ts";

export interface PluginOptions {
  /** The store's folder. */
  folder: string;
  database: PluginDatabase;
  advisories: AdvisoryDatabase;
  /** Where advisories are asked for. */
  source: () => Promise<string | undefined>;
  clock: Clock;
  random: () => number;
  log: Log;
  /** Whether what `npm run install:eliza` installed is used. */
  prefilled: boolean;
}

export interface Plugins {
  provisioner: Provisioner;
  stop(): Promise<void>;
}

const COLLECT_MS = 3_600_000;

/** Opens the store and begins to collect what nobody names. */
export async function openPlugins(options: PluginOptions): Promise<Plugins> {
  const { clock, database, log, random } = options;
  const npm = machineNpm();
  const base = readBase();
  const id = treeId(base);
  const prefilled = options.prefilled && installedEngine() ? { id, folder: defaultElizaDir } : undefined;
  const store = new PluginStore({
    folder: options.folder,
    npm,
    log,
    loader: join(defaultElizaDir, "load.mjs"),
    prefilled,
  });
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
    lookUp: async (targets) => {
      const url = await options.source();
      if (url === undefined) return [];
      const results = await lookUp(url, targets);
      await options.advisories.record(results);
      return results;
    },
  });
  return {
    provisioner,
    async stop() {
      cancel();
      await store.close();
    },
  };
}

async function collect(store: PluginStore, database: PluginDatabase, clock: Clock, log: Log): Promise<void> {
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
