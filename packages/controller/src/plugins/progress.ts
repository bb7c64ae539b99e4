// How far an install is: which packages are there, and how large they are.
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

export interface Progress {
  packages: number;
  total: number;
  bytes: number;
}

/** Looks at a folder that npm fills; each package is measured once it is there. */
export class ProgressMeter {
  readonly #root: string;
  readonly #total: number;
  readonly #left: Set<string>;
  #bytes = 0;

  /** @param folders the packages' folders, below `root` */
  constructor(root: string, folders: readonly string[]) {
    this.#root = root;
    this.#total = folders.length;
    this.#left = new Set(folders);
  }

  async look(): Promise<Progress> {
    for (const folder of this.#left) {
      const path = join(this.#root, folder);
      if ((await lstat(join(path, "package.json")).catch(() => undefined)) === undefined) continue;
      this.#left.delete(folder);
      this.#bytes += await sizeOf(path);
    }
    return { packages: this.#total - this.#left.size, total: this.#total, bytes: this.#bytes };
  }
}

/** Of a package's own files, without the packages inside it. */
async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const sizes = await Promise.all(
    entries
      .filter(({ name }) => name !== "node_modules")
      .map((entry) => {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) return sizeOf(path);
        return lstat(path).then(
          ({ size }) => size,
          () => 0,
        );
      }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** One line for the agent's status. */
export function describeProgress({ bytes, packages, total }: Progress): string {
  const megabytes = Math.round(bytes / 1_000_000);
  return `Installing plugins: ${packages} of ${total} packages (${megabytes} MB), ${total - packages} left`;
}
