// Unpacks an archive of npm as npm does: files alone, without the archive's first folder, nothing outside of the package.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join, normalize, sep } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { extract, type Header } from "tar-stream";

export interface UnpackOptions {
  /** Whether packages inside the package are its own. */
  bundles: boolean;
  /** Called with the disk space of each file before it is written; an error that it throws stops the work. */
  room(bytes: number): void;
}

/** What a node counts a file by. */
const BLOCK = 4096;

/**
 * Unpacks one archive whose digest was compared before.
 * @throws {Error} for anything but an archive, or without room
 */
export async function unpack(archive: string, folder: string, options: UnpackOptions): Promise<void> {
  const entries = extract();
  const made = new Set<string>();
  const take = async (header: Header, content: Readable): Promise<void> => {
    const path = placeOf(header, options.bundles);
    if (path === undefined) {
      content.resume();
      return;
    }
    options.room(Math.ceil(header.size / BLOCK) * BLOCK);
    const file = join(folder, path);
    const parent = dirname(file);
    if (!made.has(parent)) {
      await mkdir(parent, { recursive: true });
      made.add(parent);
    }
    const mode = (header.mode & 0o111) === 0 ? 0o644 : 0o755;
    // A name that comes twice means the last one.
    await pipeline(content, createWriteStream(file, { mode }));
  };
  // Not as an iterator: that one waits for ever where the archive ends early.
  entries.on("entry", (header, content, next) => {
    // An error of the archive is the error of the whole, reported below.
    content.on("error", () => {});
    take(header, content as unknown as Readable).then(() => next(), next);
  });
  await pipeline(createReadStream(archive), createGunzip(), entries);
}

/** Where an entry belongs, below the package's folder; undefined for what is not installed. */
function placeOf({ name, type }: Header, bundles: boolean): string | undefined {
  if (type !== "file" && type !== "contiguous-file") return undefined;
  const path = normalize(name.replaceAll("\\", "/").replace(/^(?:\.?\/)*[^/]+\//, ""));
  if (path === "" || path === "." || path.startsWith("/") || path.split(sep).includes("..")) return undefined;
  if (!bundles && path.startsWith("node_modules/")) return undefined;
  return path;
}
