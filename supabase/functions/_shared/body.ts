/** Reading a request's body within its limit. */

export const MAX_BODY_BYTES = 1024 * 1024;

export type BodyText =
  | { readonly text: string }
  | { readonly refusal: "too large" | "not utf-8" | "broken off" };

/**
 * Reads a body as UTF-8, and stops where it grows too large, whether or not its length was declared.
 * @param request the client's request
 * @param most how many bytes it may have
 * @returns the text, empty where there is no body
 */
export async function readBody(request: Request, most = MAX_BODY_BYTES): Promise<BodyText> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readBytes(request, most);
  } catch {
    return { refusal: "broken off" };
  }
  if (bytes === undefined) return { refusal: "too large" };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    return { refusal: "not utf-8" };
  }
}

/**
 * Reads a body, and stops where it grows too large, whether or not its length was declared.
 * @param request the client's request
 * @param most how many bytes it may have
 * @returns the bytes; undefined where there are more
 * @throws what the stream throws where it breaks off
 */
export async function readBytes(request: Request, most: number): Promise<Uint8Array | undefined> {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > most) return undefined;
  if (request.body === null) return new Uint8Array();
  return declared === null ? await readUpTo(request.body, most) : await wholeBody(request, most);
}

async function wholeBody(request: Request, most: number): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(await request.arrayBuffer());
  return bytes.length > most ? undefined : bytes;
}

async function readUpTo(stream: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop cancels the stream: what is too much is not read.
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > limit) return undefined;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/**
 * Whether a Content-Type says JSON in UTF-8. None at all is taken for JSON: the text must parse anyway.
 * @param contentType the header's value
 */
export function isJsonType(contentType: string | null): boolean {
  if (contentType === null || contentType === "") return true;
  const [type = "", ...parameters] = contentType.toLowerCase().split(";");
  const charset = parameters.map((p) => p.trim()).find((p) => p.startsWith("charset="));
  return (
    type.trim() === "application/json" && (charset === undefined || /^charset="?utf-?8"?$/.test(charset))
  );
}
