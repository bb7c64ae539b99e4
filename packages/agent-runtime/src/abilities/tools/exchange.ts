/**
 * One HTTP/1.1 exchange with a given address. fetch resolves names on its own, so an address checked before could be another
 * one then; here the connection goes to the address that was checked, and TLS still verifies the name.
 */
import { Buffer } from "node:buffer";
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export interface ExchangeRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
}

export interface ExchangeResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** An exchange that failed, in words that hold nothing of the other side's. */
export class ExchangeError extends Error {}

export interface ExchangeLimits {
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  /** Receives each part of the body as it comes, with the status and headers that came before; true: enough is read. */
  readonly onBody?: ((part: Uint8Array, head: Omit<ExchangeResponse, "body">) => boolean) | undefined;
}

const MAX_HEADER_BYTES = 32 * 1024;

/**
 * Sends one request and reads the whole response.
 * @param address the address to connect to, whatever the URL's name says
 * @throws Error when the connection, the certificate, the form or the size of the response is not right, or on the signal
 */
export async function exchange(
  url: URL,
  address: string,
  request: ExchangeRequest,
  { maxBytes, signal, onBody }: ExchangeLimits,
): Promise<ExchangeResponse> {
  signal.throwIfAborted();
  const socket = open(url, address);
  const abort = () => socket.destroy(new ExchangeError("The request took too long."));
  signal.addEventListener("abort", abort, { once: true });
  try {
    const incoming = new Incoming(request.method, maxBytes, onBody);
    const received = new Promise<void>((resolve, reject) => {
      socket.on("data", (chunk: Buffer) => {
        try {
          if (incoming.take(chunk)) resolve();
        } catch (error) {
          reject(error);
        }
      });
      socket.once("end", () => resolve());
      socket.once("error", reject);
      socket.once("close", () => reject(new ExchangeError("The connection was closed.")));
    });
    socket.write(head(url, request));
    if (request.body !== undefined && request.body.length > 0) socket.write(request.body);
    await received;
    return incoming.response();
  } finally {
    signal.removeEventListener("abort", abort);
    socket.destroy();
  }
}

function open(url: URL, address: string): Socket {
  const name = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  if (url.protocol !== "https:") return connect({ host: address, port });
  return connectTls({
    host: address,
    port,
    ...(isIP(name) === 0 && { servername: name }),
    ALPNProtocols: ["http/1.1"],
  });
}

function head(url: URL, { method, headers, body }: ExchangeRequest): string {
  const defaults = { "user-agent": "agent-launchpad", accept: "*/*" };
  // Not the caller's to choose: who is addressed, and how the answer is framed and coded.
  const own = { host: url.host, connection: "close", "accept-encoding": "identity" };
  const all: Record<string, string> = { ...defaults, ...lowerCase(headers), ...own };
  if (body !== undefined) all["content-length"] = String(body.length);
  const lines = Object.entries(all).map(([name, value]) => {
    if (/[\r\n\0]/.test(`${name}${value}`)) throw new ExchangeError("A header holds a line break.");
    return `${name}: ${value}`;
  });
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

const lowerCase = (headers: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/**
 * A response as it comes in. Each byte is looked at once, however small the pieces: a server that drips them must not keep
 * the function busy.
 */
class Incoming {
  readonly #method: string;
  readonly #maxBytes: number;
  readonly #onBody: ExchangeLimits["onBody"];
  /** How far onBody has read, where the body is not in chunks. */
  #told = 0;
  #enough = false;
  #bytes = Buffer.alloc(4096);
  #size = 0;
  /** Where the body begins; undefined before the headers are complete. */
  #body: number | undefined;
  #status = 0;
  #headers: Record<string, string> = {};
  /** Up to where chunks have been read, their contents, and whether the last one was there. */
  #at = 0;
  readonly #parts: [from: number, to: number][] = [];
  #last = false;

  constructor(method: string, maxBytes: number, onBody?: ExchangeLimits["onBody"]) {
    this.#method = method;
    this.#maxBytes = maxBytes;
    this.#onBody = onBody;
  }

  /** Takes a piece; true when the response has come to its end: some servers keep the connection open. */
  take(piece: Buffer): boolean {
    const before = this.#size;
    this.#size += piece.length;
    if (this.#size > this.#maxBytes + MAX_HEADER_BYTES) this.#tooLarge();
    if (this.#size > this.#bytes.length) {
      const larger = Buffer.alloc(this.#size * 2);
      this.#bytes.copy(larger, 0, 0, before);
      this.#bytes = larger;
    }
    piece.copy(this.#bytes, before);
    if (this.#body === undefined) {
      const end = this.#bytes.subarray(0, this.#size).indexOf("\r\n\r\n", Math.max(0, before - 3));
      if (end < 0) {
        if (this.#size > MAX_HEADER_BYTES) throw new ExchangeError("The response is not HTTP.");
        return false;
      }
      const head = parseHead(this.#bytes.subarray(0, end).toString("latin1"));
      this.#status = head.status;
      this.#headers = head.headers;
      this.#body = end + 4;
      this.#at = this.#body;
    }
    if (this.#hasNoBody()) return true;
    if (this.#isChunked()) return this.#readChunks() || this.#enough;
    this.#tell(Math.max(this.#told, this.#body), this.#size);
    this.#told = this.#size;
    if (this.#enough) return true;
    const length = this.#length();
    return length !== undefined && this.#size - this.#body >= length;
  }

  /** The whole response. Throws when it is not whole, or too large. */
  response(): ExchangeResponse {
    if (this.#body === undefined) throw new ExchangeError("The response is not HTTP.");
    return { status: this.#status, headers: this.#headers, body: this.#text(this.#body) };
  }

  #text(start: number): string {
    if (this.#hasNoBody() || this.#enough) return "";
    const length = this.#length();
    let body = this.#bytes.subarray(start, this.#size);
    if (this.#isChunked()) {
      if (!this.#last) throw new ExchangeError("The response broke off.");
      body = Buffer.concat(this.#parts.map(([from, to]) => this.#bytes.subarray(from, to)));
    } else if (length !== undefined) {
      if (body.length < length) throw new ExchangeError("The response broke off.");
      body = body.subarray(0, length);
    }
    if (body.length > this.#maxBytes) this.#tooLarge();
    return body.toString("utf8");
  }

  #tell(from: number, to: number): void {
    if (this.#onBody === undefined || this.#enough || to <= from) return;
    const head = { status: this.#status, headers: this.#headers };
    this.#enough = this.#onBody(Buffer.from(this.#bytes.subarray(from, to)), head);
  }

  #hasNoBody(): boolean {
    return this.#method === "HEAD" || this.#status === 204 || this.#status === 304;
  }

  #isChunked(): boolean {
    return this.#headers["transfer-encoding"]?.includes("chunked") ?? false;
  }

  #length(): number | undefined {
    const text = this.#headers["content-length"];
    if (text === undefined) return undefined;
    if (!/^\d{1,15}$/.test(text)) throw new ExchangeError("The response is not HTTP.");
    if (Number(text) > this.#maxBytes) this.#tooLarge();
    return Number(text);
  }

  /** Reads the chunks that are complete; true at the last one. */
  #readChunks(): boolean {
    for (;;) {
      const line = this.#bytes.subarray(0, this.#size).indexOf("\r\n", this.#at);
      // A size has a few letters; a line without an end is not a chunk.
      if (line < 0 ? this.#size - this.#at > 100 : line - this.#at > 100)
        throw new ExchangeError("The response is not HTTP.");
      if (line < 0) return false;
      const size = Number.parseInt(this.#bytes.subarray(this.#at, line).toString("latin1"), 16);
      if (!(size >= 0)) throw new ExchangeError("The response is not HTTP.");
      if (size > this.#maxBytes) this.#tooLarge();
      if (size === 0) {
        this.#last = true;
        return true;
      }
      if (this.#size < line + 2 + size + 2) return false;
      this.#parts.push([line + 2, line + 2 + size]);
      this.#tell(line + 2, line + 2 + size);
      this.#at = line + 2 + size + 2;
    }
  }

  #tooLarge(): never {
    throw new ExchangeError(`The response is larger than ${this.#maxBytes} bytes.`);
  }
}

function parseHead(text: string): { status: number; headers: Record<string, string> } {
  const [first = "", ...lines] = text.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  if (!(status >= 200)) throw new ExchangeError("The response is not HTTP.");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status, headers };
}

/** A response as the model reads it. */
export const describeResponse = ({ status, body }: ExchangeResponse): string => `HTTP ${status}\n${body}`;
