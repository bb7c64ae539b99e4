/** Reads what a request carries: a JSON document, or a file as the whole body or in a form. */
import type { IncomingMessage } from "node:http";
import { readJson } from "../gateway/bodies/read.ts";
import { type Call, headerOf } from "./call.ts";
import { failures } from "./errors.ts";
import type { Source } from "./files.ts";
import { mustBeRobots } from "./names.ts";

const LONGEST_JSON = 1024 * 1024;
const LONGEST_METADATA = 1024 * 1024;

/** The JSON of a body; undefined without one, or where the body is something else. Throws in hosted's words. */
export async function jsonOf(call: Call, { mayBeEmpty = false } = {}): Promise<unknown> {
  const type = headerOf(call, "content-type");
  if (!type || !/^application\/json\b/i.test(type)) {
    call.request.resume();
    return undefined;
  }
  if (Number(headerOf(call, "content-length") ?? 0) > LONGEST_JSON) throw failures.bodyTooLarge();
  const bytes = await bytesOf(call.request, LONGEST_JSON);
  if (bytes.length === 0) {
    if (mayBeEmpty) return undefined;
    throw failures.invalidForm(
      "Body cannot be empty when content-type is set to 'application/json'",
      "FastifyError",
    );
  }
  const read = readJson(bytes);
  if ("cure" in read)
    throw failures.invalidForm(
      `${read.message}, but content-type is set to 'application/json'`,
      "SyntaxError",
    );
  return read.value;
}

/** A whole body, of a request that may not be long. */
export async function bytesOf(request: IncomingMessage, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) throw failures.bodyTooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A file on its way in. */
export interface Incoming {
  source: Source;
  mimetype: string;
  cacheControl: string;
  userMetadata?: Record<string, unknown> | undefined;
  robots?: string | undefined;
  /** What the client says; of a form, with its frame. */
  declaredLength?: number | undefined;
  /** Whether `declaredLength` is the file's own. */
  isExact: boolean;
}

/** The file that a request carries, not yet read. Throws where there is none. */
export async function incomingOf(call: Call): Promise<Incoming> {
  const robots = headerOf(call, "x-robots-tag");
  if (robots !== undefined) mustBeRobots(robots);
  const type = headerOf(call, "content-type");
  const length = headerOf(call, "content-length");
  const declaredLength = length === undefined ? undefined : Number(length);
  if (type?.startsWith("multipart/form-data"))
    return { ...(await fileOfForm(call.request)), robots, declaredLength, isExact: false };
  return {
    source: call.request,
    mimetype: type || "application/octet-stream",
    cacheControl: headerOf(call, "cache-control") ?? "no-cache",
    userMetadata: metadataOf(headerOf(call, "x-metadata")),
    robots,
    declaredLength,
    isExact: true,
  };
}

/** Metadata of the user's own: base64 of a JSON object. What cannot be read is left out, as hosted does. */
export function metadataOf(header: string | undefined): Record<string, unknown> | undefined {
  if (header === undefined) return undefined;
  return parsed(Buffer.from(header, "base64"));
}

function parsed(bytes: Buffer): Record<string, unknown> | undefined {
  const read = readJson(bytes);
  if ("cure" in read || typeof read.value !== "object" || read.value === null) return undefined;
  return read.value as Record<string, unknown>;
}

/** The first file of a form and the fields before it; those behind it are too late to be of use. */
async function fileOfForm(
  request: IncomingMessage,
): Promise<Pick<Incoming, "source" | "mimetype" | "cacheControl" | "userMetadata">> {
  const { Busboy } = await import("@fastify/busboy"); // needed by few starts
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof fileOfForm>>>();
  const fields = new Map<string, string>();
  const none = (error?: unknown) =>
    reject(failures.noContent(error instanceof Error ? error.message : undefined));
  try {
    const form = new Busboy({
      headers: { ...request.headers, "content-type": request.headers["content-type"] ?? "" },
      limits: { fields: 10, files: 1, fieldSize: LONGEST_METADATA + 1 },
      highWaterMark: 256 * 1024,
      fileHwm: 256 * 1024,
    });
    form.on("field", (name, value) => fields.set(name, value));
    form.on("file", (_field, file, _filename, _encoding, type) => {
      const metadata = fields.get("metadata") ?? fields.get("userMetadata");
      if (metadata !== undefined && Buffer.byteLength(metadata) > LONGEST_METADATA) {
        file.resume();
        return reject(failures.entityTooLarge("user_metadata"));
      }
      const age = fields.get("cacheControl");
      // It may fail before anybody reads from it; whoever reads then gets the error.
      file.on("error", () => undefined);
      // A client that leaves ends its file early; the form says so, not the file.
      form.on("error", (error: Error) => file.destroy(error));
      request.once("close", () => {
        if (!request.complete) file.destroy(new Error("the client left before the end of its file"));
      });
      resolve({
        source: file,
        mimetype: fields.get("contentType") ?? type,
        cacheControl: age ? `max-age=${age}` : "no-cache",
        userMetadata: metadata === undefined ? undefined : parsed(Buffer.from(metadata)),
      });
    });
    form.on("finish", () => none());
    form.on("error", none);
    request.once("close", () => none());
    request.pipe(form);
  } catch (error) {
    none(error);
  }
  return await promise;
}
