// Lists stored objects as hosted Storage does.

import { z } from "zod";
import type { FetchHandler } from "../gateway/in-process.ts";

const Asked = z.object({
  prefix: z.string().default(""),
  limit: z.int().min(0).default(100),
  offset: z.int().min(0).default(0),
  search: z.string().default(""),
  sortBy: z.object({ column: z.string().default("name"), order: z.string().default("asc") }).optional(),
});
type Asked = z.infer<typeof Asked>;

type Entry = Record<string, unknown> & { name: string };
const Entries = z.array(z.looseObject({ name: z.string() }));

/**
 * `POST /storage/v1/object/list/<bucket>`: hosted lists one folder, names relative to it and its subfolders as entries
 * without an id; lite lists every object whose name begins with the prefix. What a caller may see is lite's to decide.
 */
export async function listAsHosted(handler: FetchHandler, request: Request): Promise<Response> {
  const text = await request.text();
  const asked = Asked.safeParse(parse(text));
  const again = (body: string) => {
    const headers = new Headers(request.headers);
    headers.delete("content-length");
    return handler(new Request(request.url, { method: "POST", headers, body }));
  };
  if (!asked.success) return await again(text); // lite itself says what is wrong with it
  const folder = asked.data.prefix.replace(/^\/+|\/+$/g, "");
  const prefix = folder === "" ? "" : `${folder}/`;
  const answer = await again(JSON.stringify({ prefix }));
  const objects = answer.ok ? Entries.safeParse(await answer.clone().json()) : undefined;
  return objects?.success ? Response.json(folderOf(objects.data, prefix, asked.data)) : answer;
}

/** The entries of one folder: subfolders first, then files. Pure. */
export function folderOf(objects: readonly Entry[], prefix: string, asked: Asked): Entry[] {
  const folders = new Set<string>();
  const files: Entry[] = [];
  const wanted = asked.search.toLowerCase();
  for (const object of objects) {
    if (!object.name.startsWith(prefix)) continue;
    const [name = "", ...rest] = object.name.slice(prefix.length).split("/");
    if (!name.toLowerCase().startsWith(wanted)) continue;
    if (rest.length > 0) folders.add(name);
    else files.push({ ...object, name });
  }
  const { column, order } = asked.sortBy ?? { column: "name", order: "asc" };
  const direction = order.toLowerCase() === "desc" ? -1 : 1;
  const key = (entry: Entry) => String(entry[column] ?? "");
  const by = (a: string, b: string) => (a < b ? -direction : a > b ? direction : 0);
  const entries = [...folders].sort(column === "name" ? by : undefined).map(asFolder);
  files.sort((a, b) => by(key(a), key(b)) || by(a.name, b.name));
  return [...entries, ...files].slice(asked.offset, asked.offset + asked.limit);
}

const asFolder = (name: string): Entry => ({
  name,
  id: null,
  updated_at: null,
  created_at: null,
  last_accessed_at: null,
  metadata: null,
});

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
