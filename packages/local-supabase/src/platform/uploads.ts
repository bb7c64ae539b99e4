/** Uploads to Storage so that a bucket's limits hold as on hosted, whatever form they come in. */
import { AsyncLocalStorage } from "node:async_hooks";
import { openAsBlob } from "node:fs";
import { readJson } from "../gateway/bodies/read.ts";
import type { FetchHandler } from "../gateway/in-process.ts";
import { boundaryOf, type Part, partsOf, textOf } from "./form.ts";
import type { Spool, Spooled } from "./spool.ts";

/** The upload under way: the type that the client gave, parameters and all. */
export const upload = new AsyncLocalStorage<{ contentType: string }>();

const TOO_LARGE = {
  statusCode: "413",
  error: "Payload too large",
  message: "The object exceeded the maximum allowed size",
};
const NO_ROOM = {
  statusCode: "503",
  error: "SlowDown",
  message: "Too many uploads are under way; try again shortly",
};
const invalid = (message: string) =>
  Response.json({ statusCode: "400", error: "InvalidRequest", message }, { status: 400 });

/**
 * Serves an upload. Lite compares types literally, hosted without parameters; and lite knows a body's size from its header
 * alone, so a body without one is written to a file first. A form is written to a file, too: lite would hold it in memory.
 */
export async function uploadWithinLimits(
  handler: FetchHandler,
  request: Request,
  spool: Spool,
): Promise<Response> {
  const boundary = boundaryOf(request.headers.get("content-type") ?? "");
  const { body } = request;
  if (body === null || (boundary === undefined && request.headers.has("content-length")))
    return await serve(handler, request, new Headers(request.headers), body);
  const served = await spool.with(body, async (spooled) =>
    boundary === undefined
      ? await serveFile(handler, request, spooled)
      : await serveForm(handler, request, spooled, boundary),
  );
  if (served === "too_large") return Response.json(TOO_LARGE, { status: 400 });
  if (served === "full") return Response.json(NO_ROOM, { status: 503, headers: { "retry-after": "1" } });
  return served;
}

async function serve(
  handler: FetchHandler,
  request: Request,
  headers: Headers,
  body: Request["body"] | Blob,
): Promise<Response> {
  const contentType = headers.get("content-type") ?? "application/octet-stream";
  headers.set("content-type", contentType.split(";", 1)[0]?.trim() ?? contentType);
  const init = { method: request.method, headers, body, duplex: "half" };
  return await upload.run({ contentType }, () => handler(new Request(request.url, init)));
}

async function serveFile(
  handler: FetchHandler,
  request: Request,
  { path, size }: Spooled,
): Promise<Response> {
  const headers = new Headers(request.headers);
  headers.set("content-length", String(size));
  return await serve(handler, request, headers, await openAsBlob(path));
}

/**
 * supabase-js uploads a Blob or File as a form whose file has an empty name; lite wants it named `file` and overlooks the
 * fields beside it. The same upload with the file as the whole body says all of it in headers.
 */
async function serveForm(
  handler: FetchHandler,
  request: Request,
  { path }: Spooled,
  boundary: string,
): Promise<Response> {
  const parts = await partsOf(path, boundary);
  const file = parts?.find(({ isFile }) => isFile);
  if (!parts || !file) return invalid("The body must be a form with a file in it");
  const field = async (name: string) => {
    const part = parts.find((one: Part) => !one.isFile && one.name === name);
    return part === undefined ? undefined : await textOf(path, part);
  };
  const headers = new Headers(request.headers);
  headers.set("content-type", file.type ?? "application/octet-stream");
  headers.set("content-length", String(file.end - file.start));
  const [age, metadata] = [await field("cacheControl"), await field("metadata")];
  if (age !== undefined) headers.set("cache-control", /^\d+$/.test(age) ? `max-age=${age}` : age);
  const readable = metadata === undefined ? undefined : readJson(Buffer.from(metadata));
  if (readable && "cure" in readable) return invalid(`The metadata cannot be read: ${readable.message}`);
  if (metadata !== undefined) headers.set("x-metadata", Buffer.from(metadata).toString("base64"));
  return await serve(handler, request, headers, (await openAsBlob(path)).slice(file.start, file.end));
}
