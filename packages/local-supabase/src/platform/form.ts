/** The parts of a multipart form that lies on disk, by where they begin and end: none of it is held in memory. */
import { type FileHandle, open } from "node:fs/promises";

export interface Part {
  name: string;
  /** Whether the client calls it a file, with a name or without. */
  isFile: boolean;
  type?: string;
  /** Of its content, in bytes of the file; `end` is the first byte after it. */
  start: number;
  end: number;
}

const MOST_PARTS = 20;
const MOST_HEADERS = 8 * 1024;
const MOST_TEXT = 64 * 1024;
const CHUNK = 1024 * 1024;

/** The boundary of a multipart Content-Type; undefined for other types. */
export function boundaryOf(contentType: string): string | undefined {
  const match = /^\s*multipart\/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(
    contentType,
  );
  return match?.[1] ?? match?.[2];
}

/** Reads where the parts of a form are; undefined where it is none, or has too many. */
export async function partsOf(path: string, boundary: string): Promise<Part[] | undefined> {
  const file = await open(path);
  try {
    const delimiters = await find(file, Buffer.from(`\r\n--${boundary}`));
    if (delimiters.length < 2 || delimiters[0] !== -2 || delimiters.length > MOST_PARTS + 1) return undefined;
    const parts: Part[] = [];
    for (const [i, at] of delimiters.slice(0, -1).entries()) {
      const part = await partAt(file, at + boundary.length + 4, delimiters[i + 1]!);
      if (!part) return undefined;
      parts.push(part);
    }
    return parts;
  } finally {
    await file.close();
  }
}

/** The text of a field, as far as a field may be long. */
export async function textOf(path: string, { start, end: last }: Part): Promise<string> {
  const end = Math.min(last, start + MOST_TEXT);
  const file = await open(path);
  try {
    return (await read(file, start, end - start)).toString("utf8");
  } finally {
    await file.close();
  }
}

/** Where a delimiter stands; a form begins with one that lacks its line break: at -2. */
async function find(file: FileHandle, delimiter: Buffer): Promise<number[]> {
  const found: number[] = [];
  let kept = Buffer.from("\r\n");
  let at = -2;
  for (;;) {
    const chunk = await read(file, at + kept.length, CHUNK);
    if (chunk.length === 0) return found;
    const bytes = Buffer.concat([kept, chunk]);
    let from = 0;
    for (let next = bytes.indexOf(delimiter); next >= 0; next = bytes.indexOf(delimiter, from)) {
      found.push(at + next);
      if (found.length > MOST_PARTS + 1) return found;
      from = next + delimiter.length;
    }
    const keep = Math.max(from, bytes.length - delimiter.length + 1);
    at += keep;
    kept = bytes.subarray(keep);
  }
}

async function partAt(file: FileHandle, from: number, end: number): Promise<Part | undefined> {
  const text = (await read(file, from, Math.min(MOST_HEADERS, end - from))).toString("latin1");
  const blank = text.indexOf("\r\n\r\n");
  if (!text.startsWith("\r\n") || blank < 0) return undefined;
  const head = Buffer.from(text.slice(0, blank), "latin1").toString("utf8");
  const disposition = /^content-disposition:\s*form-data\s*;(.*)$/im.exec(head)?.[1];
  const name = /(?:^|;)\s*name="([^"]*)"/i.exec(disposition ?? "")?.[1];
  if (disposition === undefined || name === undefined) return undefined;
  const type = /^content-type:\s*(\S.*?)\s*$/im.exec(head)?.[1];
  return {
    name,
    isFile: /;\s*filename\*?=/i.test(disposition),
    ...(type === undefined ? {} : { type }),
    start: from + blank + 4,
    end,
  };
}

async function read(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
