// What objects go through: received, judged, written, copied, moved, deleted, so that files and rows agree.

import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Database, Scope } from "./database.ts";
import { failures, StorageError } from "./errors.ts";
import type { Facts, Files, Source, Version } from "./files.ts";
import { isFolderMark, mustBeAllowed, mustBeKey } from "./names.ts";
import {
  deleteObjects,
  findBucket,
  findObject,
  insertObject,
  lockObject,
  lookForObject,
  moveObject,
  type ObjectMetadata,
  type ObjectRow,
  upsertObject,
} from "./rows.ts";

export interface Place {
  bucket: string;
  name: string;
}

/** An upload as its rules see it. */
export interface Wish extends Place {
  owner?: string | undefined;
  upsert: boolean;
  userMetadata?: Record<string, unknown> | null | undefined;
  metadata?: ObjectMetadata | undefined;
}

/** An upload with its bytes. */
export interface Upload extends Wish {
  source: Source;
  mimetype: string;
  cacheControl: string;
  robots?: string | undefined;
  declaredLength?: number | undefined;
  /** Bytes that the file may have at most. */
  most: number;
}

export interface Copy {
  from: Place;
  to: Place;
  owner?: string | undefined;
  upsert: boolean;
  /** What the copy has of its own; absent: all as the original. */
  changed?: { cacheControl?: string; mimetype?: string; userMetadata?: Record<string, unknown> | undefined };
}

export type Store = ReturnType<typeof createStore>;

/**
 * Whether an error says that the database has nothing of the transaction. A connection that broke at its end says neither:
 * the bytes stay then, and the next start removes those that no row names.
 */
function wasUndone(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return !error.code?.startsWith("57P");
  return error instanceof StorageError;
}

export function createStore({ database, files, most }: { database: Database; files: Files; most: number }) {
  const versionOf = ({ bucket_id, name, version }: ObjectRow): Version => ({
    bucket: bucket_id,
    name,
    version,
  });

  /** Throws where the caller may not write this object: its policies, triggers and quotas say. */
  async function mayWrite(scope: Scope, { bucket, name, ...wish }: Wish): Promise<void> {
    await database.test(scope, async (client) => {
      const object = { bucket, name, ...wish, version: "1" };
      await (wish.upsert ? upsertObject(client, object) : insertObject(client, object));
    });
  }

  /**
   * Writes the row of bytes that have their place. The row names its version, so readers see either the old bytes or the
   * new ones; the old ones go when it is written, the new ones where it is not.
   */
  async function complete(scope: Scope, wish: Wish, version: string): Promise<ObjectRow> {
    const { bucket, name } = wish;
    let before: ObjectRow | undefined;
    try {
      const row = await database.asService(scope, async (client) => {
        await lockObject(client, bucket, name);
        before = await lookForObject(client, bucket, name, true);
        return await upsertObject(client, { ...wish, version });
      });
      if (before) await files.remove(versionOf(before));
      return row;
    } catch (error) {
      if (wasUndone(error)) await files.remove({ bucket, name, version });
      throw error;
    }
  }

  const metadataOf = (facts: Facts, more: ObjectMetadata): ObjectMetadata => ({
    eTag: facts.eTag,
    size: facts.size,
    ...more,
    lastModified: facts.lastModified.toISOString(),
    contentLength: facts.size,
    httpStatusCode: 200,
  });

  return {
    mayWrite,
    complete,
    metadataOf,

    /** The limits of a bucket for one object, its type judged where it is given. Throws NoSuchBucket. */
    async limitsOf(scope: Scope, { bucket, name }: Place, mimetype?: string): Promise<number> {
      const found = await database.asService(scope, (client) => findBucket(client, bucket));
      if (isFolderMark(name)) return 0;
      if (mimetype !== undefined) mustBeAllowed(mimetype, found.allowed_mime_types);
      return Math.min(most, found.file_size_limit ?? most);
    },

    /** Judges, receives and writes an object. */
    async upload(scope: Scope, upload: Upload): Promise<ObjectRow> {
      const { bucket, name, mimetype, cacheControl, robots } = upload;
      mustBeKey(name);
      await mayWrite(scope, {
        ...upload,
        metadata: {
          mimetype,
          ...(upload.declaredLength === undefined ? {} : { contentLength: upload.declaredLength }),
        },
      });
      const { path, ...facts } = await files.receive(upload.source, upload.most);
      const version = randomUUID();
      await files.place(path, { bucket, name, version });
      const metadata = metadataOf(facts, { mimetype, cacheControl });
      if (robots !== undefined) metadata.xRobotsTag = robots;
      return await complete(scope, { ...upload, metadata, userMetadata: upload.userMetadata ?? {} }, version);
    },

    /** The row of an object, for whoever may read it. */
    async find(scope: Scope, { bucket, name }: Place): Promise<ObjectRow> {
      mustBeKey(name);
      return await database.as(scope, (client) => findObject(client, bucket, name));
    },

    /** The same for everybody: of public buckets and signed links. */
    async findAsService(scope: Scope, { bucket, name }: Place): Promise<ObjectRow> {
      mustBeKey(name);
      return await database.asService(scope, (client) => findObject(client, bucket, name));
    },

    /**
     * Opens an object's bytes. An overwrite between the look and the opening takes the bytes that were looked at: `again`
     * looks again.
     */
    async open(row: ObjectRow, again: () => Promise<ObjectRow>) {
      for (let current = row, tries = 0; tries < 5; tries++) {
        const handle = await files.open(versionOf(current));
        if (handle) return { handle, row: current };
        const now = await again();
        if (now.version === current.version) break;
        current = now;
      }
      throw failures.noSuchFile();
    },

    async copy(scope: Scope, { from, to, owner, upsert, changed }: Copy): Promise<ObjectRow> {
      mustBeKey(to.name);
      const original = await database.as(scope, (client) => findObject(client, from.bucket, from.name));
      const metadata: ObjectMetadata = { ...original.metadata };
      if (changed?.cacheControl !== undefined) metadata.cacheControl = changed.cacheControl;
      if (changed?.mimetype !== undefined) metadata.mimetype = changed.mimetype;
      const userMetadata = changed ? changed.userMetadata : original.user_metadata;
      const wish = { ...to, owner, upsert, userMetadata };
      await mayWrite(scope, { ...wish, metadata });
      const version = randomUUID();
      await files.duplicate(versionOf(original), { ...to, version });
      metadata.lastModified = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
      return await complete(scope, { ...wish, metadata }, version);
    },

    async move(scope: Scope, from: Place, to: Place, owner: string | undefined): Promise<ObjectRow> {
      mustBeKey(to.name);
      const version = randomUUID();
      await database.test(scope, async (client) => {
        await findObject(client, from.bucket, from.name);
        await moveObject(client, from, { ...to, version, owner });
      });
      if (from.bucket === to.bucket && from.name === to.name)
        return await database.asService(scope, (client) => findObject(client, from.bucket, from.name));
      let before: ObjectRow | undefined;
      try {
        const row = await database.asService(scope, async (client) => {
          await lockObject(client, to.bucket, to.name);
          before = await findObject(client, from.bucket, from.name, true);
          await files.duplicate(versionOf(before), { ...to, version });
          return await moveObject(client, from, { ...to, version, owner });
        });
        if (before) await files.remove(versionOf(before));
        return row;
      } catch (error) {
        if (wasUndone(error)) await files.remove({ ...to, version });
        throw error;
      }
    },

    /** Deletes one object; throws AccessDenied where it is there and the caller may not. */
    async remove(scope: Scope, { bucket, name }: Place): Promise<void> {
      await database.asService(scope, (client) => findObject(client, bucket, name));
      const gone = await database.as(scope, (client) => deleteObjects(client, bucket, [name]));
      if (gone.length === 0) throw failures.accessDenied();
      await files.remove(...gone.map(versionOf));
    },

    /** Deletes what the caller may delete of the named objects, and gives it. */
    async removeMany(scope: Scope, bucket: string, names: string[]): Promise<ObjectRow[]> {
      const gone = await database.as(scope, (client) => deleteObjects(client, bucket, names));
      await files.remove(...gone.map(versionOf));
      return gone;
    },

    /** Deletes all objects of a bucket that are older than the call. */
    async empty(scope: Scope, bucket: string): Promise<void> {
      for (;;) {
        const gone = await database.asService(scope, async (client) => {
          const { rows } = await client.query<{ name: string }>(
            'select name from storage.objects where bucket_id = $1 order by name collate "C" limit 500',
            [bucket],
          );
          return rows.length === 0
            ? []
            : await deleteObjects(
                client,
                bucket,
                rows.map(({ name }) => name),
              );
        });
        if (gone.length === 0) return;
        await files.remove(...gone.map(versionOf));
      }
    },
  };
}
