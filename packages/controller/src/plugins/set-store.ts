// The store of plugin sets for agents that run on other machines: the archives of a lock file, as the registry served them.
//   sets/<id>.json     the lock file of a set, as the text whose digest is its id
//   archives/<digest>  one archive, named by what the lock file promises of it
//   .…                 what a process downloads: gone at the next start
// Nothing in it is precious: what is missing is downloaded again, by whichever controller is asked.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type SetArchive, setArchives } from "@agent-launchpad/agent-runtime";
import type { Log } from "../log.ts";
import { canonical } from "../reconcile/template.ts";
import { makeDraft, removeLeftovers } from "./drafts.ts";
import { type Npm, NpmError } from "./npm.ts";
import { type Tree, treeId, treeSchema } from "./tree.ts";
import { UnderWay } from "./under-way.ts";

export interface SetStoreOptions {
  folder: string;
  npm: Npm;
  log: Log;
  /** What it may hold; sets that were not used for longest go first. */
  maxBytes: number;
}

/** Archives that one call of npm downloads. */
const AT_ONCE = 24;
/** A set that nobody names yet may be about to be named. */
const KEEP_MS = 3_600_000;
const MEGABYTE = 1_000_000;
/** Sets whose lists of archives are kept in memory. */
const REMEMBERED = 32;

export class SetStore {
  readonly #options: SetStoreOptions;
  readonly #sets: string;
  readonly #archives: string;
  /** Downloads and checks under way, by set. */
  readonly #work = new UnderWay<undefined>();
  /** The archives of sets that were read: an id means the same for ever. */
  readonly #archivesOf = new Map<string, ReadonlyMap<string, SetArchive>>();
  /** Archives that were read and are as promised, by the time of their last change. */
  readonly #sound = new Map<string, number>();
  /** npm works one download after the other: each takes 200 MB of memory. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: SetStoreOptions) {
    this.#options = options;
    this.#sets = join(options.folder, "sets");
    this.#archives = join(options.folder, "archives");
  }

  /** Makes the folders, and removes what an earlier process left half. */
  async open(): Promise<void> {
    for (const path of [this.#sets, this.#archives]) await mkdir(path, { recursive: true });
    await removeLeftovers(this.#options.folder);
  }

  /** Ends downloads under way. */
  async close(): Promise<void> {
    await this.#work.close();
  }

  /** Where lock files are made. */
  get scratch(): string {
    return this.#options.folder;
  }

  /** How far the download of a set is; undefined where none is under way. */
  progress(id: string): string | undefined {
    return this.#work.progress(id);
  }

  /**
   * Makes a set complete, once however many ask.
   * @param tree its lock file, asked for only where it is not there
   * @throws NpmError, or an error of the disk
   */
  provide(id: string, tree: () => Promise<Tree>): Promise<undefined> {
    return this.#work.once(id, () => this.#provide(id, tree));
  }

  /** The lock file of a set whose archives are all there; undefined where the set has to be provided. */
  async lockOf(id: string): Promise<string | undefined> {
    const tree = this.#work.has(id) ? undefined : await this.#read(id);
    if (tree === undefined || (await this.#missing(this.#know(id, tree))).length > 0) return undefined;
    return canonical(tree);
  }

  /** The file of a set's archive, checked; undefined where it is not there, null where the set has no such archive. */
  async archiveOf(id: string, file: string): Promise<string | undefined | null> {
    let archives = this.#archivesOf.get(id);
    if (archives === undefined) {
      const tree = await this.#read(id);
      if (tree === undefined) return undefined;
      archives = this.#know(id, tree);
    }
    const archive = archives.get(file);
    if (archive === undefined) return null;
    return (await this.#isSound(archive)) ? join(this.#archives, file) : undefined;
  }

  async #provide(id: string, read: () => Promise<Tree>): Promise<undefined> {
    let tree = await this.#read(id);
    if (tree === undefined) {
      tree = await read();
      // Before its archives: what a set names is not tidied away.
      const file = this.#fileOf(id);
      await writeFile(`${file}.new`, canonical(tree));
      await rename(`${file}.new`, file);
    }
    const archives = this.#know(id, tree);
    const missing = await this.#missing(archives);
    if (missing.length === 0) return undefined;
    const turn = this.#turn.then(() => this.#download(id, missing, archives.size));
    this.#turn = turn.catch(() => {});
    await turn;
    return undefined;
  }

  #know(id: string, { lock }: Tree): ReadonlyMap<string, SetArchive> {
    const archives = new Map(setArchives(lock).map((archive) => [archive.file, archive]));
    this.#archivesOf.delete(id);
    this.#archivesOf.set(id, archives);
    for (const oldest of this.#archivesOf.keys()) {
      if (this.#archivesOf.size <= REMEMBERED) break;
      this.#archivesOf.delete(oldest);
    }
    return archives;
  }

  async #missing(archives: ReadonlyMap<string, SetArchive>): Promise<SetArchive[]> {
    const missing: SetArchive[] = [];
    for (const archive of archives.values()) if (!(await this.#isSound(archive))) missing.push(archive);
    return missing;
  }

  async #download(id: string, missing: readonly SetArchive[], total: number): Promise<void> {
    const { log, npm } = this.#options;
    const started = performance.now();
    const left = new Map(missing.map((archive) => [archive.file, archive]));
    const draft = await makeDraft(this.#options.folder, "download");
    let bytes = 0;
    try {
      // Two packages may have archives of one name (`@a/b-c`, `@a-b/c`): what is missing after the first round is asked for alone.
      for (const atOnce of [AT_ONCE, 1]) {
        const rest = [...left.values()];
        for (let at = 0; at < rest.length; at += atOnce) {
          const done = total - left.size;
          const megabytes = Math.round(bytes / MEGABYTE);
          const words = `Installing plugins: ${done} of ${total} packages (${megabytes} MB), ${left.size} left`;
          this.#work.note(id, words);
          await this.#makeRoom(id);
          const specs = rest.slice(at, at + atOnce).map(({ spec }) => spec);
          await npm.pack(specs, draft, this.#work.signal);
          bytes += await this.#keep(draft, left);
        }
        if (left.size === 0) break;
      }
      const [wrong] = left.values();
      if (wrong !== undefined) {
        throw new NpmError("EINTEGRITY", `${wrong.spec} is not what it was when its version was chosen`);
      }
      await this.#makeRoom(id);
      const seconds = Math.round((performance.now() - started) / 100) / 10;
      log.info("plugins were downloaded", { tree: id, archives: missing.length, seconds });
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  }

  /** Moves the archives that are as promised to where they belong. */
  async #keep(draft: string, left: Map<string, SetArchive>): Promise<number> {
    let bytes = 0;
    const algorithms = new Set([...left.values()].map(({ algorithm }) => algorithm));
    for (const name of await readdir(draft)) {
      if (!name.endsWith(".tgz")) continue;
      const path = join(draft, name);
      for (const algorithm of algorithms) {
        const file = `${algorithm}-${await digestOf(path, algorithm)}`;
        if (!left.delete(file)) continue;
        bytes += (await stat(path)).size;
        await rename(path, join(this.#archives, file));
        break;
      }
      await rm(path, { force: true });
    }
    return bytes;
  }

  /** Whether the archive is there and as promised. What was altered is removed. */
  async #isSound({ algorithm, digest, file }: SetArchive): Promise<boolean> {
    const path = join(this.#archives, file);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) return false;
    if (this.#sound.get(file) === found.ctimeMs) return true;
    if ((await digestOf(path, algorithm)) !== digest) {
      this.#options.log.warn("an archive of the plugin store was altered and is downloaded again", { file });
      await rm(path, { force: true });
      return false;
    }
    this.#sound.set(file, found.ctimeMs);
    return true;
  }

  async #read(id: string): Promise<Tree | undefined> {
    const file = this.#fileOf(id);
    try {
      const tree = treeSchema.parse(JSON.parse(await readFile(file, "utf8")));
      if (treeId(tree) !== id) throw new Error("it is another one");
      const now = new Date();
      await utimes(file, now, now);
      return tree;
    } catch {
      await rm(file, { force: true });
      return undefined;
    }
  }

  #fileOf(id: string): string {
    return join(this.#sets, `${id}.json`);
  }

  /**
   * Forgets sets that were not used for longest, until what is left fits.
   * @throws NpmError where the set that is being downloaded does not fit on its own
   */
  async #makeRoom(id: string): Promise<void> {
    const { maxBytes } = this.#options;
    for (;;) {
      const size = await this.#size();
      if (size <= maxBytes) return;
      const others = (await this.#known()).filter((set) => set.id !== id && !this.#work.has(set.id));
      const [oldest] = others.sort((a, b) => a.usedAt - b.usedAt);
      if (oldest === undefined) {
        const gigabytes = (maxBytes / 1024 ** 3).toFixed(1);
        throw new NpmError("ENOSPC", `the plugins need more than the store's ${gigabytes} GiB`);
      }
      await rm(this.#fileOf(oldest.id), { force: true });
      await this.#forgetUnnamed();
    }
  }

  async #known(): Promise<{ id: string; usedAt: number }[]> {
    const names = (await readdir(this.#sets)).filter((name) => name.endsWith(".json"));
    return await Promise.all(
      names.map(async (name) => ({
        id: name.slice(0, -".json".length),
        usedAt: (await stat(join(this.#sets, name))).mtimeMs,
      })),
    );
  }

  async #size(): Promise<number> {
    const names = await readdir(this.#archives);
    const sizes = await Promise.all(
      names.map((name) =>
        stat(join(this.#archives, name)).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Removes sets that nobody names and that were not used within the hour, and archives of no set. */
  async collect(wanted: ReadonlySet<string>, now: number): Promise<string[]> {
    const gone: string[] = [];
    for (const { id, usedAt } of await this.#known()) {
      if (wanted.has(id) || this.#work.has(id) || usedAt > now - KEEP_MS) continue;
      await rm(this.#fileOf(id), { force: true });
      gone.push(id);
    }
    if (gone.length > 0 && this.#work.size === 0) await this.#forgetUnnamed();
    return gone;
  }

  async #forgetUnnamed(): Promise<void> {
    const named = new Set<string>();
    for (const { id } of await this.#known()) {
      const text = await readFile(this.#fileOf(id), "utf8").catch(() => undefined);
      if (text === undefined) continue;
      for (const { file } of setArchives(treeSchema.parse(JSON.parse(text)).lock)) named.add(file);
    }
    for (const file of await readdir(this.#archives)) {
      if (!named.has(file)) await rm(join(this.#archives, file), { force: true });
    }
  }
}

async function digestOf(path: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm);
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
