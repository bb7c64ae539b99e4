// Keeps the bytes of objects in files, one a version, in a folder that no key leads out of.

import { createHash, hash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, link, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { codeOf } from "../errors.ts";
import { failures } from "./errors.ts";

/** Which bytes: an object of a bucket in one version of it. */
export interface Version {
  bucket: string;
  name: string;
  version: string;
}

/** What the bytes themselves say. */
export interface Facts {
  size: number;
  eTag: string;
  lastModified: Date;
}

/** Bytes on their way in. */
export type Source = AsyncIterable<Uint8Array>;

const CHUNK = 256 * 1024;

/** Bytes of uploads under way, all together: half-sent files must not fill the disk. */
const MOST_UNDER_WAY = 2 * 1024 * 1024 * 1024;

export interface Files {
  /** Writes bytes to a place that nothing reads yet. Throws where there are more than `most`. */
  receive(source: Source, most: number): Promise<Facts & { path: string }>;
  /** Gives received bytes their place. */
  place(path: string, as: Version): Promise<void>;
  /** A second name for the same bytes. Throws NoSuchKey where there are none. */
  duplicate(from: Version, to: Version): Promise<void>;
  /** Opens bytes to read; undefined where there are none. */
  open(of: Version): Promise<FileHandle | undefined>;
  remove(...of: Version[]): Promise<void>;
  /** Where a file that is not yet an object may lie: parts and resumable uploads. */
  workPath(kind: "parts" | "resumable", ...names: string[]): string;
  /** Removes bytes that no row names and that are older than this process. */
  sweep(rows: AsyncIterable<Version>, before: Date): Promise<number>;
}

/** A file's name is a hash of what it holds, so any key is safe: none is too long, and none is a path. */
export function openFiles(folder: string): Files {
  const nameOf = ({ bucket, name, version }: Version) =>
    hash("sha256", JSON.stringify([bucket, name, version]), "hex");
  const pathOf = (of: Version) => {
    const digest = nameOf(of);
    return join(folder, "objects", digest.slice(0, 2), digest);
  };
  const incoming = join(folder, "incoming");
  // What an earlier process was receiving when it ended.
  const ready = rm(incoming, { recursive: true, force: true }).then(() =>
    mkdir(incoming, { recursive: true, mode: 0o700 }),
  );
  ready.catch(() => undefined); // whoever receives first gets the error
  let underWay = 0;

  return {
    async receive(source, most) {
      await ready;
      const path = join(incoming, randomUUID());
      const md5 = createHash("md5");
      let size = 0;
      const counted = new Transform({
        highWaterMark: CHUNK,
        transform(chunk: Buffer, _encoding, done) {
          size += chunk.length;
          underWay += chunk.length;
          if (size > most) return done(failures.entityTooLarge());
          if (underWay > MOST_UNDER_WAY) return done(failures.slowDown());
          md5.update(chunk);
          done(null, chunk);
        },
      });
      try {
        await pipeline(source, counted, createWriteStream(path, { mode: 0o600, highWaterMark: CHUNK }));
      } catch (error) {
        await rm(path, { force: true });
        throw error;
      } finally {
        underWay -= size;
      }
      return { path, size, eTag: `"${md5.digest("hex")}"`, lastModified: wholeSecond(new Date()) };
    },

    async place(path, as) {
      const to = pathOf(as);
      await mkdir(dirname(to), { recursive: true, mode: 0o700 });
      await rename(path, to);
    },

    async duplicate(from, to) {
      const path = pathOf(to);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      try {
        await link(pathOf(from), path);
      } catch (error) {
        throw codeOf(error) === "ENOENT" ? failures.noSuchFile() : error;
      }
    },

    async open(of) {
      try {
        return await open(pathOf(of), "r");
      } catch (error) {
        if (codeOf(error) === "ENOENT") return undefined;
        throw error;
      }
    },

    async remove(...of) {
      await Promise.all(of.map((one) => rm(pathOf(one), { force: true })));
    },

    workPath: (kind, ...names) => join(folder, kind, ...names),

    async sweep(rows, before) {
      const named = new Set<string>();
      for await (const row of rows) named.add(nameOf(row));
      let removed = 0;
      for (const path of await filesBelow(join(folder, "objects"))) {
        // A second name of old bytes changes when it is made, not when they were.
        if (named.has(path.slice(-64)) || (await stat(path)).ctime >= before) continue;
        await rm(path, { force: true });
        removed += 1;
      }
      return removed;
    },
  };
}

/** What the bytes of a file say. */
export async function digestOf(path: string): Promise<Facts> {
  const md5 = createHash("md5");
  let size = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
    md5.update(chunk);
    size += chunk.length;
  }
  return { size, eTag: `"${md5.digest("hex")}"`, lastModified: wholeSecond(new Date()) };
}

/** HTTP dates have no fractions, and clients compare them. */
function wholeSecond(time: Date): Date {
  return new Date(Math.floor(time.getTime() / 1000) * 1000);
}

async function filesBelow(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}
