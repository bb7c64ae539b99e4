/**
 * One HTTP/1.1 exchange with a given address. fetch resolves names by itself, so an address checked before could be another
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
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<ExchangeResponse> {
  signal.throwIfAborted();
  const socket = open(url, address);
  const abort = () => socket.destroy(new Error("The request took too long."));
  signal.addEventListener("abort", abort, { once: true });
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    const received = new Promise<Buffer>((resolve, reject) => {
      socket.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > maxBytes + MAX_HEADER_BYTES) {
          reject(new Error(`The response is larger than ${maxBytes} bytes.`));
        } else if (isComplete(chunks, request.method)) resolve(Buffer.concat(chunks));
      });
      socket.once("end", () => resolve(Buffer.concat(chunks)));
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("The connection was closed.")));
    });
    socket.write(head(url, request));
    if (request.body !== undefined && request.body.length > 0) socket.write(request.body);
    return parse(await received, request.method, maxBytes);
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
  const own = { host: url.host, connection: "close", "accept-encoding": "identity", accept: "*/*" };
  const all: Record<string, string> = { "user-agent": "agent-launchpad", ...lowerCase(headers), ...own };
  if (body !== undefined) all["content-length"] = String(body.length);
  const lines = Object.entries(all).map(([name, value]) => {
    if (/[\r\n\0]/.test(`${name}${value}`)) throw new Error("A header holds a line break.");
    return `${name}: ${value}`;
  });
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
}

const lowerCase = (headers: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/** Whether a response with a length, or in chunks, has come to its end: some servers keep the connection open. */
function isComplete(chunks: Buffer[], method: string): boolean {
  const bytes = Buffer.concat(chunks);
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const { status, headers } = parseHead(bytes.subarray(0, end).toString("latin1"));
  if (hasNoBody(status, method)) return true;
  if (headers["transfer-encoding"]?.includes("chunked"))
    return readChunked(bytes.subarray(end + 4)) !== undefined;
  const length = headers["content-length"];
  return length !== undefined && bytes.length - end - 4 >= Number(length);
}

const hasNoBody = (status: number, method: string) => method === "HEAD" || status === 204 || status === 304;

function parse(bytes: Buffer, method: string, maxBytes: number): ExchangeResponse {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0 || end > MAX_HEADER_BYTES) throw new Error("The response is not HTTP.");
  const { status, headers } = parseHead(bytes.subarray(0, end).toString("latin1"));
  if (hasNoBody(status, method)) return { status, headers, body: "" };
  const rest = bytes.subarray(end + 4);
  const length = headers["content-length"];
  let body: Buffer = rest;
  if (headers["transfer-encoding"]?.includes("chunked")) {
    const whole = readChunked(rest);
    if (whole === undefined) throw new Error("The response broke off.");
    body = whole;
  } else if (length !== undefined) {
    if (rest.length < Number(length)) throw new Error("The response broke off.");
    body = rest.subarray(0, Number(length));
  }
  if (body.length > maxBytes) throw new Error(`The response is larger than ${maxBytes} bytes.`);
  return { status, headers, body: body.toString("utf8") };
}

function parseHead(text: string): { status: number; headers: Record<string, string> } {
  const [first = "", ...lines] = text.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  if (!(status >= 200)) throw new Error("The response is not HTTP.");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status, headers };
}

/** The body that chunks carry; undefined while the last one is missing. Throws when they are malformed. */
function readChunked(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.subarray(at, line).toString("latin1"), 16);
    if (!(size >= 0)) throw new Error("The response is not HTTP.");
    if (size === 0) return Buffer.concat(parts);
    const from = line + 2;
    if (bytes.length < from + size + 2) return undefined;
    parts.push(bytes.subarray(from, from + size));
    at = from + size + 2;
  }
}
