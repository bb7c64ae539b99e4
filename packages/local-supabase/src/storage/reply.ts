// Answers with an object: its bytes, or what is known of it.

import type { FileHandle } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { answerJson, beginAnswer, type Call, type Headers, headerOf } from "./call.ts";
import { failures } from "./errors.ts";
import { mustBeRobots } from "./names.ts";
import type { ObjectRow } from "./rows.ts";

export interface ByteRange {
  from: number;
  /** The last byte. */
  to: number;
}

/** The bytes that a Range header asks for (one range, as hosted); throws 416 where there are none. Pure. */
export function rangeOf(header: string, size: number): ByteRange {
  const [, first = "", last = ""] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? [];
  if (size <= 0 || (first === "" && last === "")) throw failures.invalidRange();
  const from = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const to = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (!Number.isSafeInteger(from) || (first === "" && Number(last) === 0) || from > to || from >= size)
    throw failures.invalidRange();
  return { from, to };
}

/** Whether the client has these bytes already. Pure. */
export function isUnchanged(
  { eTag, lastModified }: { eTag: string; lastModified: Date },
  conditions: { ifNoneMatch?: string | undefined; ifModifiedSince?: string | undefined },
): boolean {
  const { ifNoneMatch, ifModifiedSince } = conditions;
  if (ifNoneMatch)
    return ifNoneMatch
      .split(",")
      .some((tag) => tag.trim() === "*" || tag.trim().replace(/^W\//, "") === eTag);
  return ifModifiedSince !== undefined && lastModified.getTime() <= Date.parse(ifModifiedSince);
}

/** What an object's row says of its bytes. */
export function factsOf(row: ObjectRow) {
  const { metadata } = row;
  const written = new Date(metadata?.lastModified ?? row.updated_at);
  return {
    eTag: metadata?.eTag ?? `"${row.version}"`,
    lastModified: Number.isNaN(written.getTime()) ? row.updated_at : written,
    mimetype: metadata?.mimetype ?? "application/octet-stream",
    cacheControl: metadata?.cacheControl ?? "no-cache",
  };
}

export interface BytesAnswer {
  handle: FileHandle;
  row: ObjectRow;
  /** `?download`: the name to save under, empty for the object's own. */
  download?: string | undefined;
  /** Of a signed link: when it ends. */
  expires?: string;
  /** Of the protocol that asks. */
  headers?: Headers;
}

/** Sends an object's bytes: all, a range (206), or none where the client has them (304). Closes the handle. */
export async function answerBytes(call: Call, { handle, row, ...answer }: BytesAnswer): Promise<void> {
  try {
    const { size } = await handle.stat();
    const { eTag, lastModified, mimetype, cacheControl } = factsOf(row);
    const conditions = {
      ifNoneMatch: headerOf(call, "if-none-match"),
      ifModifiedSince: headerOf(call, "if-modified-since"),
    };
    if (isUnchanged({ eTag, lastModified }, conditions)) {
      beginAnswer(call, 304, { etag: eTag, "cache-control": cacheControl });
      call.response.end();
      return;
    }
    const asked = headerOf(call, "range");
    const range = asked === undefined ? undefined : rangeOf(asked, size);
    const { from, to } = range ?? { from: 0, to: size - 1 };
    const headers: Headers = {
      "accept-ranges": "bytes",
      "content-type": mimetype,
      etag: eTag,
      "x-robots-tag": robotsOf(row),
      "last-modified": lastModified.toUTCString(),
      "content-length": to - from + 1,
      "content-range": range && `bytes ${from}-${to}/${size}`,
      ...(answer.expires
        ? { expires: answer.expires }
        : {
            "cache-control": conditions.ifNoneMatch
              ? `${cacheControl}, stale-while-revalidate=30`
              : cacheControl,
          }),
      "content-disposition": dispositionOf(answer.download),
      ...answer.headers,
    };
    beginAnswer(call, range ? 206 : 200, { ...headers, ...inertOf(String(headers["content-type"])) });
    if (call.method === "HEAD" || size === 0) {
      call.response.end();
      return;
    }
    const stream = handle.createReadStream({
      start: from,
      end: to,
      highWaterMark: 256 * 1024,
      autoClose: false,
    });
    await pipeline(stream, call.response).catch(() => {
      call.response.destroy(); // the client left, or the disk failed half way
    });
  } finally {
    await handle.close();
  }
}

/** Headers by which no page of a user's runs on this origin: HTML is text, and documents that may hold scripts run none. */
function inertOf(mimetype: string): Headers {
  const type = mimetype.toLowerCase().replace(/\s/g, "");
  return {
    "content-type": type.includes("text/html") ? "text/plain" : mimetype,
    "x-content-type-options": "nosniff",
    "content-security-policy": type.includes("xml")
      ? "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
      : undefined,
  };
}

/** Says of an object what its row says, without its bytes (HEAD). */
export function answerHead(call: Call, row: ObjectRow): void {
  const { eTag, lastModified, mimetype, cacheControl } = factsOf(row);
  const known = headerOf(call, "if-none-match");
  beginAnswer(call, 200, {
    "accept-ranges": "bytes",
    ...inertOf(mimetype),
    etag: eTag,
    "x-robots-tag": "none",
    "last-modified": lastModified.toUTCString(),
    "content-length": row.metadata?.size ?? row.metadata?.contentLength,
    "cache-control": known && known !== eTag ? `${cacheControl}, must-revalidate` : cacheControl,
  });
  call.response.end();
}

/** The same as JSON. */
export function answerInfo(call: Call, row: ObjectRow): void {
  const { metadata } = row;
  answerJson(
    call,
    200,
    {
      id: row.id,
      name: row.name,
      version: row.version,
      bucket_id: row.bucket_id,
      size: metadata?.size ?? null,
      content_type: metadata?.mimetype ?? null,
      cache_control: metadata?.cacheControl ?? null,
      etag: metadata?.eTag ?? null,
      metadata: row.user_metadata,
      last_modified: row.updated_at,
      created_at: row.created_at,
    },
    { "cache-control": metadata?.cacheControl, etag: metadata?.eTag },
  );
}

function robotsOf({ metadata }: ObjectRow): string {
  if (typeof metadata?.xRobotsTag !== "string") return "none";
  try {
    mustBeRobots(metadata.xRobotsTag);
    return metadata.xRobotsTag;
  } catch {
    return "none";
  }
}

function dispositionOf(download: string | undefined): string | undefined {
  if (download === undefined) return undefined;
  if (download === "") return "attachment;";
  const name = encodeURIComponent(download);
  return `attachment; filename=${name}; filename*=UTF-8''${name}`;
}
