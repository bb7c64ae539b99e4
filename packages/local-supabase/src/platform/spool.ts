/** Bodies that wait on disk: each up to a limit, all together up to another, and none longer than its request. */
import { randomUUID } from "node:crypto";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** A body on disk. */
export interface Spooled {
  path: string;
  size: number;
}

export interface Spool {
  /**
   * Writes a body to a file and has it used; the file is gone afterwards, however that ends.
   * @returns what `use` returns, or why the body was not kept: it is too long, or the disk's share is used up
   */
  with<T>(body: ReadableStream, use: (spooled: Spooled) => Promise<T>): Promise<T | "too_large" | "full">;
}

/**
 * Opens a spool. What an earlier process left in its folder is deleted before the first body comes.
 * @param most bytes of one body
 * @param total bytes of all bodies that wait
 */
export function openSpool({ folder, most, total }: { folder: string; most: number; total: number }): Spool {
  let waiting = 0;
  let ready: Promise<unknown> | undefined;

  async function write(body: ReadableStream, path: string): Promise<{ size: number } | "too_large" | "full"> {
    let size = 0;
    const stop = (reason: "too_large" | "full") => Object.assign(new Error(reason), { reason });
    // Opened here: a stream that is stopped at once does so before it has opened its file, and made it after the removal.
    const file = await open(path, "wx");
    try {
      await pipeline(
        Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]),
        async function* (chunks: AsyncIterable<Uint8Array>) {
          for await (const chunk of chunks) {
            if (size + chunk.length > most) throw stop("too_large");
            if (waiting + chunk.length > total) throw stop("full");
            size += chunk.length;
            waiting += chunk.length;
            yield chunk;
          }
        },
        file.createWriteStream(),
      );
      return { size };
    } catch (error) {
      waiting -= size;
      if (error instanceof Error && "reason" in error) return error.reason as "too_large" | "full";
      throw error;
    } finally {
      await file.close(); // the stream closes it, too; which of them is first does not matter
    }
  }

  return {
    async with(body, use) {
      ready ??= rm(folder, { recursive: true, force: true }).then(() => mkdir(folder, { recursive: true }));
      await ready;
      const path = join(folder, `${randomUUID()}.upload`);
      try {
        const written = await write(body, path);
        if (typeof written === "string") return written;
        try {
          return await use({ path, size: written.size });
        } finally {
          waiting -= written.size;
        }
      } finally {
        await rm(path, { force: true });
      }
    },
  };
}
