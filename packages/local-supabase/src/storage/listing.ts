/** Lists of objects, as `list` and `list-v2` of hosted give them; S3's lists are the second. */
import type { Client } from "./database.ts";
import { failures } from "./errors.ts";
import { escapedLike, type ObjectMetadata } from "./rows.ts";

export interface Entry {
  key?: string;
  name: string;
  /** Null: a folder. */
  id: string | null;
  updated_at: Date | null;
  created_at: Date | null;
  last_accessed_at: Date | null;
  metadata: ObjectMetadata | null;
}

export interface ListAsked {
  prefix: string;
  limit?: number;
  offset?: number;
  search?: string;
  sortBy?: { column: string; order?: string };
}

/** One folder, its names relative to it, by offset. */
export async function list(client: Client, bucket: string, asked: ListAsked): Promise<Entry[]> {
  const folder = asked.prefix === "" || asked.prefix.endsWith("/") ? asked.prefix : `${asked.prefix}/`;
  const column = asked.sortBy?.column ?? "name";
  // By name it compares texts, otherwise it matches patterns.
  const escaped = column === "name" ? (text: string) => text : escapedLike;
  const { rows } = await client.query<Entry>("select * from storage.search($1, $2, $3, 1, $4, $5, $6, $7)", [
    escaped(folder),
    bucket,
    asked.limit ?? 100,
    asked.offset ?? 0,
    escaped(asked.search ?? ""),
    column,
    asked.sortBy?.order ?? "asc",
  ]);
  return rows;
}

/** Where a page of `list-v2` goes on. */
interface Cursor {
  startAfter: string;
  sortOrder?: string | undefined;
  sortColumn?: string | undefined;
  sortColumnAfter?: string | undefined;
}

export interface ListV2Asked {
  prefix?: string;
  delimiter?: string | undefined;
  limit?: number | undefined;
  cursor?: string | undefined;
  startAfter?: string | undefined;
  sortBy?: { column: string; order?: string } | undefined;
}

export interface ListV2Answer {
  hasNext: boolean;
  nextCursor?: string;
  nextCursorKey?: string;
  folders: { key?: string; name: string }[];
  objects: Entry[];
}

const MOST = 1000;

/** Objects below a prefix, whole names, by cursor; with a delimiter those in folders are shown as folders. */
export async function listV2(client: Client, bucket: string, asked: ListV2Asked): Promise<ListV2Answer> {
  const limit = Math.min(asked.limit || MOST, MOST);
  const cursor = asked.cursor ? decodeCursor(asked.cursor) : undefined;
  const column = cursor?.sortColumn ?? asked.sortBy?.column;
  const order = (cursor?.sortOrder ?? asked.sortBy?.order) === "desc" ? "desc" : "asc";
  const page: Page = {
    prefix: asked.prefix ?? "",
    limit: limit + 1,
    after: cursor?.startAfter ?? asked.startAfter ?? "",
    column: column === "created_at" || column === "updated_at" ? column : "name",
    order,
    columnAfter: cursor?.sortColumnAfter ?? "",
  };
  const rows = asked.delimiter
    ? await delimited(client, bucket, page, asked.delimiter)
    : await flat(client, bucket, page, cursor !== undefined);
  const shown = rows.slice(0, limit);
  const answer: ListV2Answer = { hasNext: rows.length > limit, folders: [], objects: [] };
  for (const row of shown) {
    if (row.id !== null) answer.objects.push(row);
    else answer.folders.push({ ...(row.key === undefined ? {} : { key: row.key }), name: `${row.name}/` });
  }
  const last = shown.at(-1);
  if (answer.hasNext && last) {
    const time = page.column === "name" ? null : last[page.column as "created_at" | "updated_at"];
    answer.nextCursorKey = last.name;
    answer.nextCursor = encodeCursor({
      startAfter: last.id === null && page.column === "name" ? `${last.name}/` : last.name,
      sortOrder: page.order,
      sortColumn: column,
      sortColumnAfter: time?.toISOString(),
    });
  }
  return answer;
}

interface Page {
  prefix: string;
  limit: number;
  after: string;
  column: string;
  order: "asc" | "desc";
  columnAfter: string;
}

async function delimited(client: Client, bucket: string, page: Page, delimiter: string): Promise<Entry[]> {
  if (delimiter === "/") {
    const level = page.prefix === "" ? 1 : page.prefix.split("/").length;
    const { rows } = await client.query<Entry>(
      "select * from storage.search_v2($1, $2, $3, $4, $5, $6, $7, $8)",
      [page.prefix, bucket, page.limit, level, page.after, page.order, page.column, page.columnAfter],
    );
    return rows;
  }
  const { rows } = await client.query<Entry>(
    "select * from storage.list_objects_with_delimiter($1, $2, $3, $4, $5)",
    [bucket, page.prefix, delimiter, page.limit, page.after],
  );
  return rows;
}

async function flat(client: Client, bucket: string, page: Page, goesOn: boolean): Promise<Entry[]> {
  const { column, order } = page;
  const byTime = column !== "name";
  const beyond = order === "asc" ? ">" : "<";
  const after = !page.after
    ? ""
    : byTime && page.columnAfter
      ? `and (date_trunc('milliseconds', ${column}), name collate "C") ${beyond} ($5::timestamptz, $4)`
      : `and name collate "C" ${goesOn ? beyond : ">"} $4 and $5::text is not null`;
  const { rows } = await client.query<Entry>(
    `select id, name, metadata, updated_at, created_at, last_accessed_at from storage.objects
     where bucket_id = $1 and name like $2 and ($4::text is not null and $5::text is not null) ${after}
     order by ${byTime ? `date_trunc('milliseconds', ${column}) ${order}, ` : ""} name collate "C" ${order} limit $3`,
    [bucket, `${escapedLike(page.prefix)}%`, page.limit, page.after, page.columnAfter],
  );
  return rows;
}

const CURSOR_PARTS = { l: "startAfter", o: "sortOrder", c: "sortColumn", a: "sortColumnAfter" } as const;

function encodeCursor(cursor: Cursor): string {
  const lines = Object.entries(CURSOR_PARTS).flatMap(([letter, part]) =>
    cursor[part] ? [`${letter}:${cursor[part]}`] : [],
  );
  return Buffer.from(lines.join("\n")).toString("base64");
}

function decodeCursor(text: string): Cursor {
  const cursor: Cursor = { startAfter: "" };
  for (const line of Buffer.from(text, "base64").toString().split("\n")) {
    const [, letter = "", value = ""] = /^(\S):(.*)$/.exec(line) ?? [];
    if (!(letter in CURSOR_PARTS)) throw failures.invalidParameter("continuation token");
    cursor[CURSOR_PARTS[letter as keyof typeof CURSOR_PARTS]] = value;
  }
  if (cursor.sortColumnAfter !== undefined && Number.isNaN(Date.parse(cursor.sortColumnAfter)))
    throw failures.invalidParameter("continuation token");
  return cursor;
}
