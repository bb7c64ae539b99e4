// The store: installed trees by their digest, one copy each, read-only, checked before they are used.
//   trees/<id>    a tree: package.json, package-lock.json, node_modules, load.mjs, the list of its files
//   compiled/<id> its compiled code (cluster/processes/compiled-trees.ts)
//   files/xx/<d>  one file of each content, under its digest: trees hold further names of it
//   resolved/<d>  what names were resolved to before
//   .…            what a process makes and uses: gone at the next start once that process has ended
import { chmod, copyFile, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errorMessage, type Log } from "../log.ts";
import { makeFolder } from "../make-folder.ts";
import { makeDraft, othersUses, removeLeftovers, writeUses } from "./drafts.ts";
import { findChange, forgetUnshared, seal } from "./files.ts";
import type { Npm } from "./npm.ts";
import { describeProgress, ProgressMeter } from "./progress.ts";
import { installedFolders, npmrc, type Tree } from "./tree.ts";
import { UnderWay } from "./under-way.ts";

export interface StoreOptions {
  folder: string;
  npm: Npm;
  log: Log;
  /** The file by which the runtime loads packages from a tree. */
  loader: string;
  /** A tree that was installed by a command, and where: it is used as it is. */
  prefilled?: { id: string; folder: string } | undefined;
}

/** Between two looks at an install. */
const LOOK_MS = 1000;
/** A tree that nobody names yet may be about to be named. */
const KEEP_MS = 3_600_000;

/** Installed trees on this machine. */
export class PluginStore {
  readonly #options: StoreOptions;
  readonly #trees: string;
  readonly #files: string;
  /** Installs and checks under way, by tree. */
  readonly #work = new UnderWay<string>();
  /** Trees that were read whole by this process. */
  readonly #read = new Set<string>();
  /** Trees that agents of this process use. */
  readonly #used = new Set<string>();

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#trees = join(options.folder, "trees");
    this.#files = join(options.folder, "files");
  }

  /**
   * Makes the folders, and removes what an earlier process left half.
   * @throws Error, one sentence with the cure, where the folder cannot be used
   */
  async open(): Promise<void> {
    const { folder } = this.#options;
    try {
      for (const path of [folder, this.#trees, this.#files]) {
        makeFolder(path, 0o755);
        if (await isOwn(path)) await chmod(path, 0o755);
      }
      await rm(await makeDraft(folder, "install"), { recursive: true });
    } catch (error) {
      throw new Error(
        `The plugin store ${folder} cannot be used (${(error as NodeJS.ErrnoException).code ?? errorMessage(error)}): ` +
          "set LAUNCHPAD_PLUGIN_STORE to a folder that this account may write, on a disk with room.",
      );
    }
    const left = await removeLeftovers(folder);
    if (left.length > 0)
      this.#options.log.warn("parts of the plugin store could not be removed yet", { left });
  }

  /** Ends installs under way; nothing half is left. */
  async close(): Promise<void> {
    await this.#work.close();
  }

  /** Where lock files are made. */
  get scratch(): string {
    return this.#options.folder;
  }

  /** How far the install of a tree is; undefined where none is under way. */
  progress(id: string): string | undefined {
    return this.#work.progress(id);
  }

  /**
   * The folder of a tree, installed where it is not there, once however many ask. What was altered is installed again.
   * @param tree what to install, asked for only where it is not there
   * @throws NpmError, or an error of the disk
   */
  provide(id: string, tree: () => Promise<Tree>): Promise<string> {
    return this.#work.once(id, () => this.#use(id, tree));
  }

  async #use(id: string, tree: () => Promise<Tree>): Promise<string> {
    const folder = await this.#provide(id, tree);
    this.#used.add(id);
    await writeUses(this.#options.folder, this.#used);
    return folder;
  }

  async #provide(id: string, tree: () => Promise<Tree>): Promise<string> {
    const { log, prefilled } = this.#options;
    if (prefilled?.id === id) return prefilled.folder;
    const folder = join(this.#trees, id);
    if (await exists(folder)) {
      const change = await findChange(folder, !this.#read.has(id));
      if (change === undefined) {
        this.#read.add(id);
        const now = new Date();
        await utimes(folder, now, now);
        return folder;
      }
      log.warn("a tree of the plugin store was altered and is installed again", { tree: id, file: change });
      await rm(folder, { recursive: true, force: true });
    }
    await this.#install(id, await tree(), folder);
    return folder;
  }

  async #install(id: string, tree: Tree, folder: string): Promise<void> {
    const { loader, log, npm } = this.#options;
    const started = performance.now();
    const draft = await makeDraft(this.#options.folder, "install");
    const meter = new ProgressMeter(draft, installedFolders(tree));
    let timer: NodeJS.Timeout | undefined;
    let installing = true;
    const look = async () => {
      const progress = await meter.look();
      if (!installing) return;
      this.#work.note(id, describeProgress(progress));
      timer = setTimeout(() => void look(), LOOK_MS);
    };
    try {
      await chmod(draft, 0o755);
      await writeFile(join(draft, "package.json"), JSON.stringify(tree.manifest));
      await writeFile(join(draft, "package-lock.json"), JSON.stringify(tree.lock));
      await writeFile(join(draft, ".npmrc"), npmrc(tree.manifest.legacyPeerDeps !== true));
      await copyFile(loader, join(draft, "load.mjs"));
      await look();
      await npm.install(draft, this.#work.signal);
      installing = false;
      this.#work.note(id, "Installing plugins: writing down what was installed");
      await seal(draft, this.#files);
      await rename(draft, folder).catch((error: NodeJS.ErrnoException) => {
        // Another controller with the same store was faster; what it installed is the same.
        if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
      });
      this.#read.add(id);
      log.info("plugins were installed", {
        tree: id,
        seconds: Math.round((performance.now() - started) / 100) / 10,
      });
    } finally {
      installing = false;
      clearTimeout(timer);
      await rm(draft, { recursive: true, force: true });
    }
  }

  /** Removes trees that nobody names, and files that no tree names. Those that were used within the hour stay. */
  async collect(wanted: ReadonlySet<string>, now: number): Promise<string[]> {
    const gone: string[] = [];
    for (const id of this.#used) if (!wanted.has(id)) this.#used.delete(id);
    await writeUses(this.#options.folder, [...this.#used, ...wanted]);
    const others = await othersUses(this.#options.folder);
    for (const id of await readdir(this.#trees)) {
      if (wanted.has(id) || others.has(id) || this.#work.has(id)) continue;
      if ((await stat(join(this.#trees, id))).mtimeMs > now - KEEP_MS) continue;
      await rm(join(this.#trees, id), { recursive: true, force: true });
      gone.push(id);
    }
    // Also what a controller left that was killed here, or that was compiled while its tree went.
    const compiled = join(this.#options.folder, "compiled");
    for (const id of await readdir(compiled).catch(() => [])) {
      if (!(await exists(join(this.#trees, id))))
        await rm(join(compiled, id), { recursive: true, force: true });
    }
    if (gone.length > 0 && this.#work.size === 0) await forgetUnshared(this.#files);
    return gone;
  }
}

/**
 * Whether a folder is this account's. Root's may be used too, and a volume that is mounted there, whoever owns that.
 * @throws Error where it is another account's, which may put other code into it that agents would run
 */
async function isOwn(path: string): Promise<boolean> {
  const own = process.geteuid?.();
  const [{ dev, uid }, above] = await Promise.all([stat(path), stat(dirname(path))]);
  if (own === undefined || uid === own) return true;
  if (uid !== 0 && dev === above.dev)
    throw new Error(`${path} belongs to the account ${uid}, and this is ${own}`);
  return false;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
