// HTTP as it is written: requests that no client library would send.
import { connect, type Socket } from "node:net";

export interface RawAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

export interface RawRequest {
  method?: string;
  /** As it stands in the request line. */
  target: string;
  /** Names and values as they are sent; `host` and `content-length` are added where they are not named. */
  headers?: readonly (readonly [name: string, value: string])[];
  body?: string | Buffer;
}

/** Opens a connection to a stack's gateway. */
export function dial(apiUrl: string): Socket {
  const { hostname, port } = new URL(apiUrl);
  return connect(Number(port), hostname);
}

/** The bytes of a request. */
export function written({ method = "GET", target, headers = [], body = "" }: RawRequest): Buffer {
  const bytes = Buffer.from(body);
  const named = new Set(headers.map(([name]) => name.toLowerCase()));
  const all = [...headers];
  if (!named.has("host")) all.push(["host", "localhost"]);
  if (!named.has("connection")) all.push(["connection", "close"]);
  if (bytes.length > 0 && !named.has("content-length") && !named.has("transfer-encoding"))
    all.push(["content-length", String(bytes.length)]);
  const head = `${method} ${target} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), bytes]);
}

/** Sends one request on a connection of its own. Rejects where the gateway closes it without an answer. */
export async function send(apiUrl: string, request: RawRequest): Promise<RawAnswer> {
  const socket = dial(apiUrl);
  socket.on("error", () => {}); // an answer that was sent before the reset still counts
  socket.write(written(request));
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.once("close", resolve));
  return parse(Buffer.concat(chunks).toString("utf8"));
}

function parse(text: string): RawAnswer {
  const end = text.indexOf("\r\n\r\n");
  const status = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1];
  if (end < 0 || status === undefined) throw new Error(`no answer: ${JSON.stringify(text.slice(0, 200))}`);
  const headers = Object.fromEntries(
    text
      .slice(0, end)
      .split("\r\n")
      .slice(1)
      .map((line) => [
        line.slice(0, line.indexOf(":")).toLowerCase(),
        line.slice(line.indexOf(":") + 1).trim(),
      ]),
  );
  const rest = text.slice(end + 4);
  return {
    status: Number(status),
    headers,
    body: headers["transfer-encoding"] === "chunked" ? unchunked(rest) : rest,
  };
}

function unchunked(text: string): string {
  let left = text;
  let body = "";
  for (;;) {
    const line = left.indexOf("\r\n");
    const size = Number.parseInt(left.slice(0, line), 16);
    if (!(size > 0)) return body;
    body += left.slice(line + 2, line + 2 + size);
    left = left.slice(line + 2 + size + 2);
  }
}
