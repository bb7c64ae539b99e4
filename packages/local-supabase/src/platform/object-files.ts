// Keeps the bytes of stored objects in files.

import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { z } from "zod";
import { codeOf } from "../errors.ts";
import { outcome } from "./outcome.ts";
import { upload } from "./uploads.ts";

const Facts = z.object({
  key: z.string(),
  mimetype: z.string(),
  cacheControl: z.string(),
  eTag: z.string(),
});
type Facts = z.infer<typeof Facts>;

/** What the storage service asks and answers about one object (the shape of @supabase/lite's StorageAdapter). */
export interface ObjectMetadata {
  cacheControl: string;
  contentLength: number;
  size: number;
  mimetype: string;
  lastModified: Date;
  eTag: string;
  contentRange?: string;
  httpStatusCode?: number;
}

interface Conditions {
  ifModifiedSince?: string;
  ifNoneMatch?: string;
  range?: string;
}

type Body = ReadableStream | Buffer | Uint8Array;

/**
 * Keeps the bytes of stored objects in files. A file's name is a hash of the object's key, so any key is safe: none can
 * leave the folder, be too long or collide with a folder. The facts that a file system does not keep (type, cache
 * control, tag) stand beside it in `<hash>.json`. Both are written beside and renamed. Within a request to Storage what was
 * there before waits until the request has ended well, and is put back where it has not.
 */
export function createObjectFiles(folder: string) {
  const pathOf = (bucket: string, key: string) => join(folder, digest(bucket).slice(0, 16), digest(key));
  const unsettled = new Map<string, Promise<void>>();

  async function read(bucket: string, key: string): Promise<ObjectMetadata | undefined> {
    const path = pathOf(bucket, key);
    try {
      const [file, text] = await Promise.all([stat(`${path}.bin`), readFile(`${path}.json`, "utf8")]);
      const { cacheControl, mimetype, eTag } = Facts.parse(JSON.parse(text));
      return {
        cacheControl,
        mimetype,
        eTag,
        size: file.size,
        contentLength: file.size,
        lastModified: file.mtime,
      };
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async function write(
    bucket: string,
    key: string,
    body: Body,
    facts: Omit<Facts, "eTag" | "key">,
  ): Promise<ObjectMetadata> {
    const path = pathOf(bucket, key);
    await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
    const unfinished = `${path}.${randomBytes(6).toString("hex")}.part`;
    const hash = createHash("md5");
    async function* hashed() {
      for await (const chunk of body instanceof Uint8Array ? [body] : (body as AsyncIterable<Uint8Array>)) {
        hash.update(chunk);
        yield chunk;
      }
    }
    try {
      await writeFile(`${unfinished}.bin`, hashed(), { mode: 0o600 });
      const all: Facts = { key, ...facts, eTag: `"${hash.digest("hex")}"` };
      await writeFile(`${unfinished}.json`, JSON.stringify(all), { mode: 0o600 });
      await place(unfinished, path);
    } catch (error) {
      await remove(unfinished);
      throw error;
    }
    return (await read(bucket, key))!;
  }

  /** Who comes second to a place waits until the first knows whether its row was written. */
  async function place(unfinished: string, path: string): Promise<void> {
    const under = outcome.getStore();
    if (!under) return await move(unfinished, path);
    const previous = unsettled.get(path);
    const { promise, resolve } = Promise.withResolvers<void>();
    unsettled.set(path, promise);
    const settle = () => {
      if (unsettled.get(path) === promise) unsettled.delete(path);
      resolve();
    };
    await previous;
    const old = `${unfinished}.old`;
    try {
      const replaces = await keepAs(path, old);
      await move(unfinished, path);
      under.steps.push({
        keep: () => remove(old).finally(settle),
        undo: () => (replaces ? move(old, path) : remove(path)).finally(settle),
      });
    } catch (error) {
      await remove(old);
      settle();
      throw error;
    }
  }

  async function remove(path: string): Promise<void> {
    await Promise.all([`${path}.json`, `${path}.bin`].map((file) => rm(file, { force: true })));
  }

  return {
    driver: null,

    async getObject(bucket: string, key: string, _version: string | undefined, conditions: Conditions = {}) {
      const metadata = await read(bucket, key);
      if (!metadata) return { httpStatusCode: 404, metadata: nothing() };
      if (unchanged(metadata, conditions)) return { httpStatusCode: 304, metadata };
      const path = `${pathOf(bucket, key)}.bin`;
      const range = rangeOf(conditions.range, metadata.size);
      if (!range) return { httpStatusCode: 200, metadata, body: open(path) };
      const { start, end } = range;
      const contentRange = `bytes ${start}-${end}/${metadata.size}`;
      return {
        httpStatusCode: 206,
        metadata: { ...metadata, contentLength: end - start + 1, contentRange },
        body: open(path, range),
      };
    },

    async uploadObject(
      bucket: string,
      key: string,
      _version: string | undefined,
      body: Body,
      mimetype: string,
      cacheControl: string,
    ) {
      // Lite sees the type without its parameters (uploads.ts).
      return await write(bucket, key, body, {
        mimetype: upload.getStore()?.contentType ?? mimetype,
        cacheControl,
      });
    },

    async deleteObject(bucket: string, key: string) {
      await remove(pathOf(bucket, key));
      // A move: the copy is all there is from now on.
      const under = outcome.getStore();
      for (const step of under?.steps.splice(0) ?? []) await step.keep();
    },

    async deleteObjects(bucket: string, keys: string[]) {
      await Promise.all(keys.map((key) => remove(pathOf(bucket, key))));
    },

    async copyObject(
      sourceBucket: string,
      source: string,
      _version: string | undefined,
      bucket: string,
      key: string,
    ): Promise<{ httpStatusCode: number; eTag: string; lastModified: Date }> {
      const metadata = await read(sourceBucket, source);
      if (!metadata) throw new Error(`object ${source} has no file`);
      const body = open(`${pathOf(sourceBucket, source)}.bin`);
      const { eTag, lastModified } = await write(bucket, key, body, metadata);
      return { httpStatusCode: 200, eTag, lastModified };
    },

    async headObject(bucket: string, key: string): Promise<ObjectMetadata> {
      return (await read(bucket, key)) ?? { ...nothing(), httpStatusCode: 404 };
    },

    async privateAssetUrl(bucket: string, key: string): Promise<string> {
      return `file://${pathOf(bucket, key)}.bin`;
    },
  };
}

/** The bytes that a Range header asks for, or undefined where the whole object is to be sent (RFC 9110 section 14.2). */
export function rangeOf(range: string | undefined, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(range ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  const start = match[1] === "" ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = match[1] === "" || match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  return start <= end ? { start, end } : undefined;
}

function unchanged(metadata: ObjectMetadata, conditions: Conditions): boolean {
  if (conditions.ifNoneMatch) return conditions.ifNoneMatch === metadata.eTag;
  if (!conditions.ifModifiedSince) return false;
  // HTTP dates have whole seconds.
  return Math.floor(metadata.lastModified.getTime() / 1000) * 1000 <= Date.parse(conditions.ifModifiedSince);
}

/** Puts a file and its facts in another's place. */
async function move(from: string, to: string): Promise<void> {
  await rename(`${from}.bin`, `${to}.bin`);
  await rename(`${from}.json`, `${to}.json`);
}

/** Keeps a file and its facts under a second name. @returns whether there was one */
async function keepAs(path: string, old: string): Promise<boolean> {
  try {
    await link(`${path}.json`, `${old}.json`);
    await link(`${path}.bin`, `${old}.bin`);
    return true;
  } catch (error) {
    await rm(`${old}.json`, { force: true });
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

function open(path: string, range?: { start: number; end: number }): ReadableStream {
  return Readable.toWeb(createReadStream(path, range)) as ReadableStream;
}

function nothing(): ObjectMetadata {
  return {
    cacheControl: "no-cache",
    contentLength: 0,
    size: 0,
    mimetype: "",
    lastModified: new Date(0),
    eTag: "",
  };
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
