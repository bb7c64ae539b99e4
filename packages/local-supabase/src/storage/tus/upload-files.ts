/** Keeps resumable uploads on disk until they are whole: the bytes in one file, what they are for beside it. */
import { createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { DataStore, Upload } from "@tus/server";
import { z } from "zod";
import { codeOf } from "../../errors.ts";
import type { Version } from "../files.ts";

const State = z.object({
  id: z.string(),
  size: z.int().optional(),
  metadata: z.record(z.string(), z.string().nullable()).optional(),
  creation_date: z.string(),
  /** Set when its object is written: the bytes have gone there. */
  done: z.boolean().default(false),
});
type State = z.infer<typeof State>;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The object that an upload's id names; undefined for another text. */
export function versionOf(id: string): Version | undefined {
  const [bucket = "", ...rest] = id.split("/");
  const version = rest.pop() ?? "";
  return UUID.test(version) && bucket && rest.length > 0
    ? { bucket, name: rest.join("/"), version }
    : undefined;
}

/** What the protocol's server says of an upload that is not there. */
const gone = () =>
  Object.assign(new Error("Upload not found"), { status_code: 404, body: "Upload not found" });

/** The store of @tus/server. Files are named by the upload's version alone, so that no name is a path. */
export class UploadFiles extends DataStore {
  readonly #folder: string;
  readonly #lifeMs: number;

  constructor(folder: string, lifeMs: number) {
    super();
    this.extensions = [
      "creation",
      "creation-with-upload",
      "creation-defer-length",
      "termination",
      "expiration",
    ];
    this.#folder = folder;
    this.#lifeMs = lifeMs;
  }

  /** Where the bytes of an upload are. */
  pathOf(id: string): string {
    const version = versionOf(id)?.version;
    if (version === undefined) throw gone();
    return join(this.#folder, version);
  }

  override async create(upload: Upload): Promise<Upload> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    void this.deleteExpired().catch(() => undefined);
    upload.creation_date = new Date().toISOString();
    await writeFile(this.pathOf(upload.id), "", { mode: 0o600, flag: "wx" });
    await this.#write({
      id: upload.id,
      ...(upload.size === undefined ? {} : { size: upload.size }),
      ...(upload.metadata === undefined ? {} : { metadata: upload.metadata }),
      creation_date: upload.creation_date,
      done: false,
    });
    return upload;
  }

  override async write(source: Readable, id: string, offset: number): Promise<number> {
    let size = offset;
    source.on("data", (chunk: Buffer) => {
      size += chunk.length;
    });
    await pipeline(source, createWriteStream(this.pathOf(id), { flags: "r+", start: offset }));
    return size;
  }

  override async getUpload(id: string): Promise<Upload> {
    const { size, metadata, creation_date, done } = await this.#read(id);
    const offset = done ? (size ?? 0) : (await stat(this.pathOf(id))).size;
    return new Upload({
      id,
      offset,
      creation_date,
      ...(size === undefined ? {} : { size }),
      ...(metadata === undefined ? {} : { metadata }),
    });
  }

  override async declareUploadLength(id: string, size: number): Promise<void> {
    await this.#write({ ...(await this.#read(id)), size });
  }

  override async remove(id: string): Promise<void> {
    const path = this.pathOf(id);
    await rm(path, { force: true });
    await rm(`${path}.json`, { force: true });
  }

  /** Notes that the bytes have become an object: a client that missed the answer asks how far it came. */
  async finish(id: string): Promise<void> {
    await this.#write({ ...(await this.#read(id)), done: true });
  }

  override getExpiration(): number {
    return this.#lifeMs;
  }

  /** Removes uploads that were begun too long ago. */
  override async deleteExpired(): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const path = join(this.#folder, name);
      const made = await stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => Date.now(),
      );
      if (Date.now() - made <= this.#lifeMs) continue;
      await rm(path, { force: true });
      removed += 1;
    }
    return removed;
  }

  async #read(id: string): Promise<State> {
    try {
      const state = State.parse(JSON.parse(await readFile(`${this.pathOf(id)}.json`, "utf8")));
      // The version alone finds the file; the rest of the id must be the same too.
      if (state.id !== id) throw gone();
      return state;
    } catch (error) {
      throw codeOf(error) === "ENOENT" ? gone() : error;
    }
  }

  async #write(state: State): Promise<void> {
    await writeFile(`${this.pathOf(state.id)}.json`, JSON.stringify(state), { mode: 0o600 });
  }
}
