/** The bytes of an S3 body: out of its chunks, and held to the hashes and signatures that come with them. */
import { createHash, type Hash, hash } from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";
import { crc32 } from "node:zlib";
import { type Call, headerOf } from "../call.ts";
import { failures, type StorageError } from "../errors.ts";
import type { Source } from "../files.ts";
import { isChunkGenuine, type Signed } from "./signature.ts";

const LONGEST_LINE = 16 * 1024;
const LARGEST_CHUNK = 8 * 1024 * 1024;
const HEX_HASH = /^[0-9a-f]{64}$/;
const CHECKSUM = "x-amz-checksum-";

/** Whether the body comes in chunks of S3's own. */
export const isChunked = ({ payload }: Signed): boolean => payload.startsWith("STREAMING-");

/** The bytes that a body has, as the client says; throws where it does not say. */
export function lengthOf(call: Call, signed: Signed): number {
  const text = headerOf(call, isChunked(signed) ? "x-amz-decoded-content-length" : "content-length");
  const length = Number(text);
  if (text === undefined || !Number.isSafeInteger(length) || length < 0)
    throw failures.missingContentLength();
  return length;
}

/** A body's bytes, checked as they pass; the last ones come only if all is as it should be. */
export function payloadOf(call: Call, signed: Signed, secret: string): Source {
  const sums = new Checksums(call, signed.payload);
  const read = isChunked(signed)
    ? new Chunks(signed, secret, sums, lengthOf(call, signed))
    : new Transform({
        transform(chunk: Buffer, _encoding, done) {
          sums.update(chunk);
          done(null, chunk);
        },
        flush(done) {
          done(sums.fault());
        },
      });
  // It may fail before anybody reads from it; whoever reads then gets the error.
  read.on("error", () => call.request.unpipe(read));
  call.request.on("error", (error) => read.destroy(error));
  call.request.once("close", () => {
    if (!call.request.complete) read.destroy(new Error("the client left before the end of its body"));
  });
  return call.request.pipe(read);
}

/** The hashes that a request names, in its headers or behind its body. */
class Checksums {
  readonly #expected = new Map<string, string>();
  readonly #hashes = new Map<string, Hash>();
  #crc = 0;

  constructor(call: Call, payload: string) {
    if (HEX_HASH.test(payload)) this.expect("content", payload);
    const trailers = (headerOf(call, "x-amz-trailer") ?? "").split(",").map((name) => name.trim());
    for (const name of [...Object.keys(call.request.headers), ...trailers]) {
      const kind = name.startsWith(CHECKSUM) ? name.slice(CHECKSUM.length) : "";
      if (kind === "sha1" || kind === "sha256") this.#hashes.set(kind, createHash(kind));
      const value = headerOf(call, name);
      if (kind !== "" && value !== undefined) this.#expected.set(kind, value);
    }
    if (HEX_HASH.test(payload)) this.#hashes.set("content", createHash("sha256"));
    const md5 = headerOf(call, "content-md5");
    if (md5 !== undefined) {
      this.#hashes.set("md5", createHash("md5"));
      this.#expected.set("md5", md5);
    }
  }

  expect(kind: string, value: string): void {
    this.#expected.set(kind, value);
  }

  update(bytes: Buffer): void {
    for (const one of this.#hashes.values()) one.update(bytes);
    this.#crc = crc32(bytes, this.#crc);
  }

  /** What is wrong with the bytes; null where nothing is. Sums of kinds that Node cannot make are not looked at. */
  fault(): StorageError | null {
    for (const [kind, expected] of this.#expected) {
      const made =
        kind === "content"
          ? this.#hashes.get(kind)?.digest("hex")
          : kind === "crc32"
            ? Buffer.from(Uint32Array.of(this.#crc).buffer).reverse().toString("base64")
            : this.#hashes.get(kind)?.digest("base64");
      if (made !== undefined && made !== expected)
        return failures.invalidChecksum(`The ${kind} checksum that you specified does not match what came`);
    }
    return null;
  }
}

/** Reads `aws-chunked`: `<size>[;chunk-signature=…]`, the bytes, and after an empty chunk lines of headers. */
class Chunks extends Transform {
  readonly #signed: Signed;
  readonly #secret: string;
  readonly #sums: Checksums;
  readonly #length: number;
  #waiting: Buffer = Buffer.alloc(0);
  #state: "line" | "data" | "break" | "trailer" | "end" = "line";
  #left = 0;
  #total = 0;
  #hash = createHash("sha256");
  #signature = "";
  #previous: string;
  #trailer = "";

  constructor(signed: Signed, secret: string, sums: Checksums, length: number) {
    super({ highWaterMark: 256 * 1024 });
    this.#signed = signed;
    this.#secret = secret;
    this.#sums = sums;
    this.#length = length;
    this.#previous = signed.signature;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.#waiting = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk]);
      while (this.#step());
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    const isWhole = this.#state === "end" && this.#total === this.#length;
    const cut = failures.invalidRequest("The body ended before its last chunk, or has another length");
    done(isWhole ? this.#sums.fault() : cut);
  }

  /** Reads one thing; false where more must come first. */
  #step(): boolean {
    switch (this.#state) {
      case "line": {
        const line = this.#line();
        if (line === undefined) return false;
        const [, size, signature = ""] =
          /^([0-9a-f]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(line) ?? [];
        if (size === undefined) throw failures.invalidRequest("A chunk of the body has no size");
        this.#left = Number.parseInt(size, 16);
        if (this.#left > LARGEST_CHUNK) throw failures.invalidRequest("A chunk of the body is too large");
        this.#signature = signature;
        this.#hash = createHash("sha256");
        if (this.#left === 0) this.#endChunk();
        this.#state = this.#left === 0 ? "trailer" : "data";
        return true;
      }
      case "data": {
        if (this.#waiting.length === 0) return false;
        const bytes = this.#waiting.subarray(0, this.#left);
        this.#waiting = this.#waiting.subarray(bytes.length);
        this.#left -= bytes.length;
        this.#total += bytes.length;
        if (this.#total > this.#length) throw failures.invalidRequest("The body is longer than it says");
        this.#hash.update(bytes);
        this.#sums.update(bytes);
        this.push(bytes);
        if (this.#left === 0) this.#state = "break";
        return true;
      }
      case "break": {
        const line = this.#line();
        if (line === undefined) return false;
        if (line !== "") throw failures.invalidRequest("A chunk of the body is longer than it says");
        this.#endChunk();
        this.#state = "line";
        return true;
      }
      case "trailer": {
        const line = this.#line();
        if (line === undefined) return false;
        if (line === "") {
          this.#endTrailer();
          this.#state = "end";
        } else this.#trailer += `${line}\n`;
        if (this.#trailer.length > LONGEST_LINE) throw failures.invalidRequest("The trailer is too long");
        return true;
      }
      case "end":
        if (this.#waiting.length > 0) throw failures.invalidRequest("Something follows the body");
        return false;
    }
  }

  #line(): string | undefined {
    const at = this.#waiting.indexOf("\r\n");
    if (at < 0) {
      if (this.#waiting.length > LONGEST_LINE)
        throw failures.invalidRequest("A line of the body is too long");
      return undefined;
    }
    const line = this.#waiting.subarray(0, at).toString("latin1");
    this.#waiting = this.#waiting.subarray(at + 2);
    return line;
  }

  #endChunk(): void {
    if (!this.#signed.payload.startsWith("STREAMING-AWS4-HMAC-SHA256")) return;
    this.#mustBeGenuine("PAYLOAD", this.#hash.digest("hex"), this.#signature);
  }

  #endTrailer(): void {
    const lines = this.#trailer.split("\n").filter((line) => line !== "");
    const of = (line: string) => {
      const at = line.indexOf(":");
      return [line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()] as const;
    };
    const fields = lines.map(of);
    for (const [name, value] of fields)
      if (name.startsWith(CHECKSUM)) this.#sums.expect(name.slice(CHECKSUM.length), value);
    if (this.#signed.payload !== "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") return;
    const signature = fields.find(([name]) => name === "x-amz-trailer-signature")?.[1] ?? "";
    const covered = fields.filter(([name]) => name !== "x-amz-trailer-signature");
    const text = covered.map(([name, value]) => `${name}:${value}\n`).join("");
    this.#mustBeGenuine("TRAILER", hash("sha256", text, "hex"), signature);
  }

  #mustBeGenuine(kind: "PAYLOAD" | "TRAILER", digest: string, signature: string): void {
    const chunk = { kind, previous: this.#previous, hash: digest, signature };
    if (!isChunkGenuine(this.#signed, this.#secret, chunk))
      throw failures.signatureDoesNotMatch(
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
      );
    this.#previous = signature;
  }
}
