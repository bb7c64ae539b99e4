// Compiled code of the trees of the plugin store, beside them: agents start from it and never write it (ADR 0222).
//   compiled/<tree>/<versions>   V8's code for each file of the tree that an agent loads when it starts, and the list of them
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { errorMessage, type Log } from "../../log.ts";
import { isAsWritten, LIST, readList, seal } from "../../plugins/file-list.ts";
import { VERSION } from "../../version.ts";
import { compiledFor } from "./compile-cache.ts";

/** What a run of the runtime left. */
export interface Compiled {
  /** The compile cache that it filled. */
  cache: string;
  /** The account that it ran under; undefined = the controller's. */
  uid: number | undefined;
  /** The names of the files that were in the cache before. */
  known: ReadonlySet<string>;
}

export interface CompiledTreesOptions {
  /** The plugin store. */
  store: string;
  /** Starts the runtime once with plugins of a tree and hands over what it compiled. */
  run(tree: string, plugins: readonly string[], keep: (compiled: Compiled) => void): Promise<void>;
  log: Log;
}

/** V8 refuses what another V8 compiled; another release of ours may give V8 other flags. */
const VERSIONS = `${VERSION}-${process.version}-${process.arch}`;

export class CompiledTrees {
  readonly #options: CompiledTreesOptions;
  /** Trees that this process tried to compile: what cannot be compiled is not tried again for each replica. */
  readonly #tried = new Set<string>();
  /** Folders whose files this process read whole. */
  readonly #read = new Set<string>();
  #turn: Promise<void> = Promise.resolve();

  constructor(options: CompiledTreesOptions) {
    this.#options = options;
  }

  /** A tree's compiled code, where it is there and is as it was written; what was altered is removed. */
  folder(tree: string): string | undefined {
    const folder = this.#place(tree);
    if (folder === undefined || !existsSync(folder)) return undefined;
    const change = this.#findChange(folder);
    if (change === undefined) return folder;
    this.#options.log.warn("compiled code of plugins was altered and is removed", {
      tree: basename(tree),
      file: change,
    });
    rmSync(folder, { recursive: true, force: true });
    this.#tried.delete(tree);
    return undefined;
  }

  /** Compiles a tree's code, after the trees that were asked for before, unless that was done or tried. */
  compile(tree: string, plugins: readonly string[]): Promise<void> {
    const folder = this.#place(tree);
    if (folder === undefined || this.#tried.has(tree) || existsSync(folder)) return this.#turn;
    this.#tried.add(tree);
    this.#turn = this.#turn.then(async () => {
      const { log, run } = this.#options;
      try {
        await run(tree, plugins, (compiled) => this.#keep(compiled, folder));
      } catch (error) {
        if ((error as Error).name === "AbortError") return; // the controller stops
        log.warn("agents with these plugins start slower: their code could not be compiled beforehand", {
          tree: basename(tree),
          error: errorMessage(error),
        });
      }
    });
    return this.#turn;
  }

  /** When nothing is being compiled. Never throws. */
  idle(): Promise<void> {
    return this.#turn;
  }

  /** Writes new files: they are the controller's, and no other process has one of them open. (As root, copyFile keeps the owner.) */
  #keep({ cache, known, uid }: Compiled, folder: string): void {
    const draft = mkdtempSync(join(this.#options.store, `.compile-${process.pid}-`));
    try {
      for (const { name, version } of compiledFor(cache, uid)) {
        const files = readdirSync(join(cache, name), { withFileTypes: true }).filter(
          (entry) => entry.isFile() && !known.has(entry.name),
        );
        if (files.length === 0) continue; // of a V8 with other flags, which the run was not
        const own = join(draft, uid === undefined ? name : `${version}${process.getuid?.()}`);
        mkdirSync(own);
        for (const file of files)
          writeFileSync(join(own, file.name), readFileSync(join(cache, name, file.name)));
        chmodSync(own, 0o755);
      }
      chmodSync(draft, 0o755);
      seal(draft);
      mkdirSync(dirname(folder), { recursive: true, mode: 0o755 });
      renameSync(draft, folder);
    } finally {
      rmSync(draft, { recursive: true, force: true });
    }
  }

  /** Sizes and times each time, contents once per process: as with the tree itself. */
  #findChange(folder: string): string | undefined {
    const list = readList(folder);
    if (list === undefined) return LIST;
    const whole = !this.#read.has(folder);
    try {
      for (const record of list.values()) {
        if (!isAsWritten(join(folder, record[0]), record, whole)) return record[0];
      }
      for (const { name } of compiledFor(folder)) {
        const added = readdirSync(join(folder, name)).find((file) => !list.has(join(name, file)));
        if (added !== undefined) return join(name, added);
      }
    } catch (error) {
      return errorMessage(error);
    }
    this.#read.add(folder);
    return undefined;
  }

  /** Where a tree's compiled code is; undefined for a folder outside the store, whose code is in the shared cache. */
  #place(tree: string): string | undefined {
    const { store } = this.#options;
    return dirname(tree) === join(store, "trees")
      ? join(store, "compiled", basename(tree), VERSIONS)
      : undefined;
  }
}
