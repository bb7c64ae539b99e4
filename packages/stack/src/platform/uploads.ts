import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import { openAsBlob } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FetchHandler } from "../gateway/in-process.ts";

/** The upload under way: the type that the client gave, parameters and all. */
export const upload = new AsyncLocalStorage<{ contentType: string }>();

const TOO_LARGE = {
  statusCode: "413",
  error: "Payload too large",
  message: "The object exceeded the maximum allowed size",
};

/**
 * Serves an upload so that a bucket's limits hold as on hosted. Lite compares types literally, hosted without parameters;
 * and lite knows a body's size from its header alone, so a body without one is written to a file first, up to `most` bytes.
 */
export async function uploadWithinLimits(
  handler: FetchHandler,
  request: Request,
  spool: { folder: string; most: number },
): Promise<Response> {
  const contentType = request.headers.get("content-type") ?? "application/octet-stream";
  const headers = new Headers(request.headers);
  headers.set("content-type", contentType.split(";", 1)[0]?.trim() ?? contentType);
  const serve = (body: Request["body"] | Blob) => {
    const init = { method: request.method, headers, body, duplex: "half" };
    return upload.run({ contentType }, () => handler(new Request(request.url, init)));
  };
  if (request.body === null || headers.has("content-length")) return await serve(request.body);
  const path = join(spool.folder, `${randomUUID()}.upload`);
  try {
    await mkdir(spool.folder, { recursive: true, mode: 0o700 });
    const written = await write(request.body, path, spool.most);
    if (written === undefined) return Response.json(TOO_LARGE, { status: 400 });
    headers.set("content-length", String(written));
    return await serve(await openAsBlob(path));
  } finally {
    await rm(path, { force: true });
  }
}

/** @returns how many bytes were written, or undefined where there were too many */
async function write(
  body: NonNullable<Request["body"]>,
  path: string,
  most: number,
): Promise<number | undefined> {
  let written = 0;
  const stop = new Error("too large");
  // Opened here: a stream that is stopped at once does so before it has opened its file, and made it after the removal.
  const file = await open(path, "wx", 0o600);
  try {
    await pipeline(
      Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          written += chunk.length;
          if (written > most) throw stop;
          yield chunk;
        }
      },
      file.createWriteStream(),
    );
    return written;
  } catch (error) {
    if (error === stop) return undefined;
    throw error;
  } finally {
    await file.close(); // the stream closes it, too; which of them is first does not matter
  }
}
