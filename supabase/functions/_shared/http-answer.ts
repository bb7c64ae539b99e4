/** Reading an HTTP/1.1 answer from the bytes of a connection. Pure. */

export interface HttpAnswer {
  readonly status: number;
  /** Values by lower-case name. */
  readonly headers: { get(name: string): string | undefined };
  /** A copy: the bytes that were read may be overwritten. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** Whether the connection may carry another request. */
  readonly reusable: boolean;
}

const MAX_HEAD_BYTES = 64 * 1024;
const [CR, LF] = [13, 10];

/**
 * Reads one answer to a POST.
 * @param bytes everything that came on the connection since the request
 * @param ended whether the other end has closed
 * @returns undefined while more must come
 * @throws Error where it is not HTTP/1.x, or broke off
 */
export function readAnswer(bytes: Uint8Array, ended: boolean): HttpAnswer | undefined {
  for (let start = 0; ; ) {
    const end = headEnd(bytes, start);
    if (end === undefined) {
      if (ended || bytes.length - start > MAX_HEAD_BYTES) throw new Error("the answer's head is incomplete");
      return undefined;
    }
    const head = readHead(latin1(bytes.subarray(start, end)));
    start = end + 4;
    // 1xx announces the answer: it has no body, and another head follows.
    if (head.status >= 200) return readBody(bytes, start, head, ended);
  }
}

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly keepsAlive: boolean;
}

function readBody(
  bytes: Uint8Array,
  start: number,
  { status, headers, keepsAlive }: Head,
  ended: boolean,
): HttpAnswer | undefined {
  const answer = (body: Uint8Array<ArrayBuffer>, end: number): HttpAnswer => ({
    status,
    headers,
    body,
    reusable: keepsAlive && !ended && end === bytes.length,
  });
  if (status === 204 || status === 304) return answer(new Uint8Array(), start);
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (coding !== undefined) {
    if (coding.toLowerCase() !== "chunked") throw new Error("the answer has an unknown transfer coding");
    const chunked = readChunks(bytes, start);
    if (chunked !== undefined) return answer(chunked.body, chunked.end);
  } else if (length !== undefined) {
    if (!/^\d{1,15}$/.test(length)) throw new Error("the answer's length is not a number");
    const end = start + Number(length);
    if (bytes.length >= end) return answer(bytes.slice(start, end), end);
  } else if (ended) {
    return answer(bytes.slice(start), bytes.length);
  }
  if (ended) throw new Error("the answer broke off");
  return undefined;
}

function headEnd(bytes: Uint8Array, start: number): number | undefined {
  for (let at = bytes.indexOf(CR, start); at !== -1; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at;
  }
  return undefined;
}

function readHead(text: string): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const [, version, status] = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(first) ?? [];
  if (status === undefined) throw new Error("the answer is not HTTP/1.1");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon <= 0) throw new Error("the answer has a malformed header");
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const keepsAlive = version === "1" && !/\bclose\b/i.test(headers.get("connection") ?? "");
  return { status: Number(status), headers, keepsAlive };
}

/** A chunked body and where it ends; undefined while more must come. */
function readChunks(
  bytes: Uint8Array,
  start: number,
): { body: Uint8Array<ArrayBuffer>; end: number } | undefined {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf(LF, at);
    if (lineEnd === -1) return undefined;
    const line = latin1(bytes.subarray(at, lineEnd)).trim();
    const [, digits] = /^([0-9a-f]{1,8})(?:\s*;.*)?$/i.exec(line) ?? [];
    if (digits === undefined) throw new Error("the answer has a malformed chunk");
    const size = Number.parseInt(digits, 16);
    const from = lineEnd + 1;
    if (size === 0) {
      const end = trailerEnd(bytes, from);
      return end === undefined ? undefined : { body: joined(chunks, total), end };
    }
    at = from + size + 2;
    if (bytes.length < at) return undefined;
    if (bytes[at - 2] !== CR || bytes[at - 1] !== LF) throw new Error("the answer has a malformed chunk");
    chunks.push(bytes.subarray(from, from + size));
    total += size;
  }
}

/** Where the trailer after the last chunk ends: with its first empty line. */
function trailerEnd(bytes: Uint8Array, start: number): number | undefined {
  if (bytes.length < start + 2) return undefined;
  if (bytes[start] === CR && bytes[start + 1] === LF) return start + 2;
  const end = headEnd(bytes, start);
  return end === undefined ? undefined : end + 4;
}

function joined(chunks: readonly Uint8Array[], total: number): Uint8Array<ArrayBuffer> {
  if (chunks.length === 1) return chunks[0]!.slice() as Uint8Array<ArrayBuffer>;
  const body = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

/** Each byte as the character of its number, as header values are read; TextDecoder's "latin1" is another code page. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192) as unknown as number[]);
  }
  return text;
}
