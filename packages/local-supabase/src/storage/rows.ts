/** The rows of buckets and objects: each statement that Storage makes of them. All run as whoever the transaction is for. */
import type { Client } from "./database.ts";
import { asStorageError, failures } from "./errors.ts";

/** What is known of an object's bytes, as Storage writes it into its row. */
export interface ObjectMetadata {
  eTag?: string;
  size?: number;
  mimetype?: string;
  cacheControl?: string;
  lastModified?: string;
  contentLength?: number;
  httpStatusCode?: number;
  xRobotsTag?: string;
  [more: string]: unknown;
}

export interface ObjectRow {
  id: string;
  bucket_id: string;
  name: string;
  owner: string | null;
  owner_id: string | null;
  version: string;
  metadata: ObjectMetadata | null;
  user_metadata: Record<string, unknown> | null;
  created_at: Date;
  updated_at: Date;
  last_accessed_at: Date;
}

export interface BucketRow {
  id: string;
  name: string;
  owner: string | null;
  public: boolean;
  type?: string;
  file_size_limit: number | null;
  allowed_mime_types: string[] | null;
  created_at: Date;
  updated_at: Date;
}

/** An object to write. */
export interface NewObject {
  bucket: string;
  name: string;
  owner?: string | undefined;
  metadata?: ObjectMetadata | undefined;
  userMetadata?: Record<string, unknown> | null | undefined;
  version: string;
}

const OBJECT = `id, bucket_id, name, owner, owner_id, coalesce(version, '') as version, metadata, user_metadata, created_at,
  updated_at, last_accessed_at`;
const BUCKET = "id, name, owner, public, type, file_size_limit, allowed_mime_types, created_at, updated_at";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-5][0-9a-f]{3}-[089ab][0-9a-f]{3}-[0-9a-f]{12}$/i;

/** The deprecated column `owner` holds ids of users alone; a token's subject may be another text. */
const asUuid = (owner: string | undefined) => (owner !== undefined && UUID.test(owner) ? owner : null);

export async function findBucket(client: Client, id: string): Promise<BucketRow> {
  const { rows } = await client.query<BucketRow>(`select ${BUCKET} from storage.buckets where id = $1`, [id]);
  if (!rows[0]) throw failures.noSuchBucket();
  return rows[0];
}

export async function findObject(
  client: Client,
  bucket: string,
  name: string,
  lock = false,
): Promise<ObjectRow> {
  const object = await lookForObject(client, bucket, name, lock);
  if (!object) throw failures.noSuchKey();
  return object;
}

export async function lookForObject(
  client: Client,
  bucket: string,
  name: string,
  lock = false,
): Promise<ObjectRow | undefined> {
  const { rows } = await client.query<ObjectRow>(
    `select ${OBJECT} from storage.objects where bucket_id = $1 and name = $2${lock ? " for update" : ""}`,
    [bucket, name],
  );
  return rows[0];
}

/** Names of a bucket's objects, of those named. */
export async function namesOf(client: Client, bucket: string, names: string[]): Promise<Set<string>> {
  const { rows } = await client.query<{ name: string }>(
    "select name from storage.objects where bucket_id = $1 and name = any($2::text[])",
    [bucket, names],
  );
  return new Set(rows.map(({ name }) => name));
}

/** Inserts; throws KeyAlreadyExists where there is one. */
export async function insertObject(client: Client, object: NewObject): Promise<void> {
  try {
    await client.query(
      `insert into storage.objects (bucket_id, name, owner, owner_id, metadata, user_metadata, version)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      valuesOf(object),
    );
  } catch (error) {
    const meant = asStorageError(error);
    throw meant.code === "ResourceAlreadyExists" ? failures.keyExists() : error;
  }
}

/** Inserts, or overwrites what is there. */
export async function upsertObject(client: Client, object: NewObject): Promise<ObjectRow> {
  // What is not given stays as it is.
  const changed = [
    "version = excluded.version",
    ...(object.metadata === undefined ? [] : ["metadata = excluded.metadata"]),
    ...(object.userMetadata === undefined ? [] : ["user_metadata = excluded.user_metadata"]),
    ...(object.owner === undefined ? [] : ["owner_id = excluded.owner_id"]),
    ...(asUuid(object.owner) === null ? [] : ["owner = excluded.owner"]),
  ];
  const { rows } = await client.query<ObjectRow>(
    `insert into storage.objects (bucket_id, name, owner, owner_id, metadata, user_metadata, version)
     values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (bucket_id, name) do update set ${changed.join(", ")} returning ${OBJECT}`,
    valuesOf(object),
  );
  return rows[0]!;
}

function valuesOf({ bucket, name, owner, metadata, userMetadata, version }: NewObject): unknown[] {
  const json = (value: unknown) => (value === undefined || value === null ? null : JSON.stringify(value));
  return [bucket, name, asUuid(owner), owner ?? null, json(metadata), json(userMetadata), version];
}

/** Renames an object, across buckets too; throws NoSuchKey where the caller may not. */
export async function moveObject(
  client: Client,
  from: { bucket: string; name: string },
  to: { bucket: string; name: string; version: string; owner?: string | undefined },
): Promise<ObjectRow> {
  const { rows } = await client.query<ObjectRow>(
    `update storage.objects set bucket_id = $3, name = $4, version = $5, owner_id = coalesce($6, owner_id),
       owner = coalesce($7, owner)
     where bucket_id = $1 and name = $2 returning ${OBJECT}`,
    [from.bucket, from.name, to.bucket, to.name, to.version, to.owner ?? null, asUuid(to.owner)],
  );
  if (!rows[0]) throw failures.noSuchKey();
  return rows[0];
}

/** Deletes objects by name; gives those that the caller may delete. */
export async function deleteObjects(client: Client, bucket: string, names: string[]): Promise<ObjectRow[]> {
  const { rows } = await client.query<ObjectRow>(
    `delete from storage.objects where bucket_id = $1 and name = any($2::text[]) returning ${OBJECT}`,
    [bucket, names],
  );
  return rows;
}

/** Waits until nobody else writes this object; throws LockTimeout after five seconds. */
export async function lockObject(client: Client, bucket: string, name: string): Promise<void> {
  try {
    await client.query("select set_config('lock_timeout', '5s', true)");
    await client.query("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`${bucket}/${name}`]);
    await client.query("select set_config('lock_timeout', '0', true)");
  } catch (error) {
    throw asStorageError(error).code === "ResourceLocked" ? failures.lockTimeout() : error;
  }
}

export async function insertBucket(
  client: Client,
  bucket: {
    id: string;
    name: string;
    owner?: string | undefined;
    public: boolean;
    fileSizeLimit: number | null;
    allowedMimeTypes: string[] | null;
  },
): Promise<void> {
  try {
    await client.query(
      `insert into storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
       values ($1, $2, $3, $4, $5, $6, $7)`,
      [
        bucket.id,
        bucket.name,
        asUuid(bucket.owner),
        bucket.owner ?? null,
        bucket.public,
        bucket.fileSizeLimit,
        bucket.allowedMimeTypes,
      ],
    );
  } catch (error) {
    const meant = asStorageError(error);
    throw meant.code === "ResourceAlreadyExists" ? failures.bucketExists() : error;
  }
}

/** Changes what is given; throws NoSuchBucket where the caller may not. */
export async function updateBucket(
  client: Client,
  id: string,
  changes: { public?: boolean; file_size_limit?: number | null; allowed_mime_types?: string[] | null },
): Promise<void> {
  const columns = Object.entries(changes).filter(([, value]) => value !== undefined);
  const { rowCount } = await client.query(
    `update storage.buckets set ${columns.map(([name], i) => `${name} = $${i + 2}`).join(", ")} where id = $1`,
    [id, ...columns.map(([, value]) => value)],
  );
  if (!rowCount) throw failures.noSuchBucket();
}

export interface BucketList {
  limit?: number;
  offset?: number;
  sortColumn?: string;
  sortOrder?: string;
  search?: string;
}

export async function listBuckets(client: Client, asked: BucketList): Promise<BucketRow[]> {
  // Both come from lists of allowed words.
  const order = asked.sortColumn ? `order by ${asked.sortColumn} ${asked.sortOrder ?? "asc"}` : "";
  const { rows } = await client.query<BucketRow>(
    `select ${BUCKET} from storage.buckets where $1::text is null or name ilike $1 ${order} limit $2 offset $3`,
    [asked.search ? `%${escapedLike(asked.search)}%` : null, asked.limit ?? null, asked.offset ?? 0],
  );
  return rows;
}

/** A text that LIKE takes as it is. */
export const escapedLike = (text: string): string => text.replace(/[\\%_]/g, "\\$&");
