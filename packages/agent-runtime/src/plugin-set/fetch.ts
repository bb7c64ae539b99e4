// Fetches a plugin set from the controller: the lock file by its digest, then each archive by the digest that the lock file names.
// Nothing that the controller answers is trusted further than that.
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isDeepStrictEqual } from "node:util";
import { type SetArchive, type SetLock, setArchives } from "./packages.ts";
import { unpack } from "./unpack.ts";

export interface FetchOptions {
  /** Where sets of this agent are: `http://<controller>/agents/<agentId>/sets`. */
  url: string;
  key: string;
  /** The digest of the set. */
  set: string;
  /** The folder that is filled: `tree` in it appears once it is complete. */
  folder: string;
  /** How many bytes may be unpacked. */
  limit: number;
  /** Where elizaOS and its loader are in this image. */
  eliza: string;
  /** How long one archive is tried for. */
  patienceMs: number;
  send?: typeof fetch;
  wait?(milliseconds: number): Promise<void>;
  random?(): number;
}

/** Trying again cannot help. */
export class SetError extends Error {
  override readonly name = "SetError";
}

/** The controller does not give it out now. */
class NotYet extends Error {
  readonly afterMs: number | undefined;
  /** The controller is still fetching it: wait. */
  readonly isComing: boolean;

  constructor(message: string, afterMs: number | undefined, isComing: boolean) {
    super(message);
    this.afterMs = afterMs;
    this.isComing = isComing;
  }
}

const AT_ONCE = 4;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** A connection over which nothing comes for so long is given up. */
const SILENCE_MS = 30_000;
const LARGEST_LOCK = 32 * 1024 ** 2;

/**
 * Fills the folder.
 * @returns how it came: `there` before, the image's own, or `fetched`
 * @throws SetError where it does not fit; Error with the last reason where it could not be fetched in time
 */
export async function fetchSet(options: FetchOptions): Promise<"there" | "image" | "fetched"> {
  const { eliza, folder, limit, set } = options;
  const tree = join(folder, "tree");
  // After a restart of the node the volume is as the first run left it; the agent could not write there.
  if ((await stat(tree).catch(() => undefined)) !== undefined) return "there";
  const draft = join(folder, "draft");
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  const door = new Door(options);
  const text = await door.lock();
  const { lock } = JSON.parse(text) as { lock: SetLock };
  if (await isInImage(lock, eliza)) {
    await symlink(eliza, tree);
    return "image";
  }
  let bytes = 0;
  const room = (more: number) => {
    bytes += more;
    if (bytes > limit) throw new SetError(tooLarge(limit));
  };
  const left = setArchives(lock).entries();
  let given = false;
  const worker = async () => {
    for (const [index, archive] of left) {
      if (given) return;
      const file = join(draft, `${index}.tgz`);
      await door.archive(archive, file);
      for (const { bundles, path } of archive.folders)
        await unpack(file, join(draft, path), { bundles, room });
      await rm(file);
    }
  };
  try {
    await Promise.all(
      Array.from({ length: AT_ONCE }, () =>
        worker().catch((error: unknown) => {
          given = true;
          throw error;
        }),
      ),
    );
    await copyFile(join(eliza, "load.mjs"), join(draft, "load.mjs"));
    await writeFile(
      join(draft, "package.json"),
      JSON.stringify((JSON.parse(text) as { manifest: object }).manifest),
    );
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "ENOSPC" ? new SetError(tooLarge(limit)) : error;
  }
  await rename(draft, tree);
  return "fetched";

  function tooLarge(most: number): string {
    return `The plugins of set ${set.slice(0, 12)} need more than the ${Math.floor(most / 1024 ** 2)} MiB of disk that an agent has for them. Name fewer plugins, or ask an operator for a class with more ephemeral storage.`;
  }
}

/** Whether the image was built with exactly these packages. */
async function isInImage(lock: SetLock, eliza: string): Promise<boolean> {
  try {
    await stat(join(eliza, "node_modules/@elizaos/core/package.json"));
    return isDeepStrictEqual(lock, JSON.parse(await readFile(join(eliza, "package-lock.json"), "utf8")));
  } catch {
    return false;
  }
}

/** Asks the controller, again and again while there is hope. */
class Door {
  readonly #options: FetchOptions;
  /** When a byte last came. */
  #byteAt = performance.now();
  /** When something last came whole. */
  #wholeAt = performance.now();

  constructor(options: FetchOptions) {
    this.#options = options;
  }

  /** The lock file, as the text that has the set's digest. */
  async lock(): Promise<string> {
    const { set } = this.#options;
    return await this.#again(async (signal) => {
      const response = await this.#get(set, signal);
      const parts: Buffer[] = [];
      await this.#read(response, (part) => parts.push(part), LARGEST_LOCK);
      const text = Buffer.concat(parts);
      if (createHash("sha256").update(text).digest("hex") !== set) {
        throw new Error("the lock file that the controller sent is not the one of this revision");
      }
      return text.toString();
    });
  }

  /** One archive, written to a file. */
  async archive({ algorithm, digest, file: name, spec }: SetArchive, file: string): Promise<void> {
    const { set } = this.#options;
    await this.#again(async (signal) => {
      const response = await this.#get(`${set}/${name}`, signal);
      const hash = createHash(algorithm);
      const note = new Transform({
        transform: (part: Buffer, _, done) => {
          this.#byteAt = performance.now();
          hash.update(part);
          done(null, part);
        },
      });
      await pipeline(Readable.fromWeb(response.body as never), note, createWriteStream(file), { signal });
      if (hash.digest("hex") !== digest) throw new Error(`what the controller sent is not ${spec}`);
    });
  }

  async #get(path: string, signal: AbortSignal): Promise<Response> {
    const { key, send = fetch, url } = this.#options;
    const response = await send(`${url}/${path}`, {
      headers: { authorization: `Bearer ${key}` },
      redirect: "error",
      signal,
    });
    if (response.ok && response.body !== null) return response;
    const said = await response.text().catch(() => "");
    const { code, message = `the controller answered ${response.status}` } = errorIn(said);
    throw new NotYet(message, pauseOf(response), code === "INSTALLING");
  }

  async #read(response: Response, take: (part: Buffer) => void, most: number): Promise<void> {
    let size = 0;
    for await (const part of Readable.fromWeb(response.body as never)) {
      this.#byteAt = performance.now();
      size += (part as Buffer).length;
      if (size > most) throw new Error("the lock file that the controller sends is too large");
      take(Buffer.from(part as Buffer));
    }
  }

  async #again<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { patienceMs, random = Math.random, wait = pause } = this.#options;
    for (let tries = 1; ; tries += 1) {
      const silence = new Silence(() => this.#byteAt);
      try {
        const result = await work(silence.signal);
        this.#wholeAt = performance.now();
        return result;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOSPC") throw error;
        if (error instanceof NotYet && error.isComing) this.#wholeAt = performance.now();
        if (performance.now() - this.#wholeAt >= patienceMs) throw new Error(reasonOf(error));
        const usual = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(tries - 1, 10));
        const asked = error instanceof NotYet ? error.afterMs : undefined;
        await wait((asked ?? usual) * (0.75 + random() / 2));
      } finally {
        silence.end();
      }
    }
  }
}

/** Aborts a request over which nothing comes. */
class Silence {
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(byteAt: () => number) {
    const began = performance.now();
    this.#timer = setInterval(() => {
      if (performance.now() - Math.max(began, byteAt()) < SILENCE_MS) return;
      this.#abort.abort(new Error(`the controller sent nothing for ${SILENCE_MS / 1000} s`));
    }, 1000);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

/** The controller's own words. */
function errorIn(text: string): { code?: string; message?: string } {
  try {
    const { code, message } = (JSON.parse(text) as { error: { code: unknown; message: unknown } }).error;
    return { code: String(code), message: String(message).slice(0, 600) };
  } catch {
    return {};
  }
}

function pauseOf(response: Response): number | undefined {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 60) * 1000 : undefined;
}

/** Of `fetch failed`, the cause says what. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error & { cause?: { code?: string; message?: string } };
  return cause?.code ?? cause?.message ?? message;
}
