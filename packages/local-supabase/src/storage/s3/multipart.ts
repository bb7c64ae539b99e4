/** Multipart uploads of S3: parts wait in files of their own until they are put together. */
import { createHash, hash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Database, Scope } from "../database.ts";
import { failures } from "../errors.ts";
import type { Files, Source } from "../files.ts";
import { mustBeKey } from "../names.ts";
import { escapedLike, type ObjectMetadata } from "../rows.ts";
import type { Place, Store } from "../store.ts";

interface UploadRow {
  id: string;
  version: string;
  owner_id: string | null;
  user_metadata: Record<string, unknown> | null;
  metadata: ObjectMetadata | null;
}

export interface PartRow {
  part_number: number;
  etag: string;
  size: number;
  created_at: Date;
}

export type Multipart = ReturnType<typeof createMultipart>;

export function createMultipart({
  database,
  files,
  store,
}: {
  database: Database;
  files: Files;
  store: Store;
}) {
  const folderOf = (uploadId: string) => files.workPath("parts", hash("sha256", uploadId, "hex"));
  /** Named by what is in it, so that a part sent again never changes one that is being read. */
  const pathOf = (uploadId: string, part: number, etag: string) =>
    `${folderOf(uploadId)}/${part}-${hash("sha256", etag, "hex").slice(0, 32)}`;

  async function find(scope: Scope, { bucket, name }: Place, uploadId: string): Promise<UploadRow> {
    const { rows } = await database.asService(scope, (client) =>
      client.query<UploadRow>(
        `select id, version, owner_id, user_metadata, metadata from storage.s3_multipart_uploads
         where id = $1 and bucket_id = $2 and key = $3`,
        [uploadId, bucket, name],
      ),
    );
    if (!rows[0]) throw failures.noSuchUpload();
    return rows[0];
  }

  /** Finds an upload that the caller may go on with. */
  async function mine(
    scope: Scope,
    place: Place,
    uploadId: string,
    owner: string | undefined,
  ): Promise<UploadRow> {
    const upload = await find(scope, place, uploadId);
    await store.mayWrite(scope, {
      ...place,
      owner,
      upsert: true,
      userMetadata: upload.user_metadata,
      metadata: upload.metadata ?? {},
    });
    return upload;
  }

  /** Counts a part's bytes before it comes; gives them back where `bytes` is negative. */
  async function count(scope: Scope, uploadId: string, bytes: number, most: number): Promise<void> {
    await database.asService(scope, async (client) => {
      const { rows } = await client.query<{ size: number }>(
        `update storage.s3_multipart_uploads set in_progress_size = in_progress_size + $2 where id = $1
         returning in_progress_size as size`,
        [uploadId, bytes],
      );
      if (bytes > 0 && (rows[0]?.size ?? 0) > most) throw failures.entityTooLarge();
    });
  }

  async function partsOf(scope: Scope, uploadId: string, after: number, most: number): Promise<PartRow[]> {
    const { rows } = await database.asService(scope, (client) =>
      client.query<PartRow>(
        `select part_number, etag, size, created_at from storage.s3_multipart_uploads_parts
         where upload_id = $1 and part_number > $2 order by part_number limit $3`,
        [uploadId, after, most],
      ),
    );
    return rows;
  }

  async function forget(scope: Scope, uploadId: string): Promise<void> {
    await database.asService(scope, (client) =>
      client.query("delete from storage.s3_multipart_uploads where id = $1", [uploadId]),
    );
    await rm(folderOf(uploadId), { recursive: true, force: true });
  }

  return {
    find,
    partsOf,

    async create(
      scope: Scope,
      place: Place,
      wish: { owner?: string | undefined; metadata: ObjectMetadata; userMetadata: Record<string, string> },
    ): Promise<string> {
      mustBeKey(place.name);
      await store.limitsOf(scope, place, wish.metadata.mimetype);
      await store.mayWrite(scope, { ...place, ...wish, upsert: true });
      const id = randomUUID().replaceAll("-", "");
      await database.asService(scope, (client) =>
        client.query(
          `insert into storage.s3_multipart_uploads
             (id, bucket_id, key, version, upload_signature, owner_id, user_metadata, metadata)
           values ($1, $2, $3, $4, $1, $5, $6, $7)`,
          [
            id,
            place.bucket,
            place.name,
            randomUUID(),
            wish.owner ?? null,
            JSON.stringify(wish.userMetadata),
            JSON.stringify(wish.metadata),
          ],
        ),
      );
      return id;
    },

    /** Receives one part; a part of the same number before it is forgotten. */
    async addPart(
      scope: Scope,
      place: Place,
      part: {
        uploadId: string;
        number: number;
        source: Source;
        length: number;
        most: number;
        owner?: string | undefined;
      },
    ): Promise<{ eTag: string; lastModified: Date }> {
      const { uploadId, number, length, owner } = part;
      const upload = await mine(scope, place, uploadId, owner);
      const most = Math.min(part.most, await store.limitsOf(scope, place));
      await count(scope, uploadId, length, most);
      try {
        const { path, ...facts } = await files.receive(part.source, length);
        if (facts.size !== length) {
          await rm(path, { force: true });
          throw failures.invalidRequest("The part is shorter than it says");
        }
        const to = pathOf(uploadId, number, facts.eTag);
        await mkdir(dirname(to), { recursive: true, mode: 0o700 });
        await rename(path, to);
        await database.asService(scope, async (client) => {
          await client.query(
            "delete from storage.s3_multipart_uploads_parts where upload_id = $1 and part_number = $2",
            [uploadId, number],
          );
          await client.query(
            `insert into storage.s3_multipart_uploads_parts
               (upload_id, size, part_number, bucket_id, key, etag, owner_id, version)
             values ($1, $2, $3, $4, $5, $6, $7, $8)`,
            [
              uploadId,
              facts.size,
              number,
              place.bucket,
              place.name,
              facts.eTag,
              owner ?? null,
              upload.version,
            ],
          );
        });
        return facts;
      } catch (error) {
        await count(scope, uploadId, -length, most).catch(() => undefined);
        throw error;
      }
    },

    /** Puts the parts together, in the order of their numbers. */
    async complete(
      scope: Scope,
      place: Place,
      asked: {
        uploadId: string;
        parts: { number: number; eTag: string }[];
        owner?: string | undefined;
        most: number;
      },
    ): Promise<string> {
      const { uploadId, owner } = asked;
      const upload = await mine(scope, place, uploadId, owner);
      const there = await partsOf(scope, uploadId, 0, 10_000);
      const parts =
        asked.parts.length > 0
          ? asked.parts
          : there.map((row) => ({ number: row.part_number, eTag: row.etag }));
      if (parts.length === 0) throw failures.invalidPart();
      const paths: string[] = [];
      const sums = createHash("md5");
      for (const [i, { number, eTag }] of parts.entries()) {
        const row = there.find((one) => one.part_number === number);
        if (!row) throw failures.missingPart(number, uploadId);
        if (bare(row.etag) !== bare(eTag)) throw failures.invalidPart();
        if (i > 0 && number <= parts[i - 1]!.number)
          throw failures.invalidRequest("The parts are not in order");
        const path = pathOf(uploadId, number, row.etag);
        await stat(path).catch(() => {
          throw failures.missingPart(number, uploadId);
        });
        paths.push(path);
        sums.update(Buffer.from(bare(row.etag), "hex"));
      }
      const most = Math.min(asked.most, await store.limitsOf(scope, place));
      const { path, ...facts } = await files.receive(bytesOf(paths), most);
      const eTag = `"${sums.digest("hex")}-${parts.length}"`;
      await files.place(path, { ...place, version: upload.version });
      const mimetype = upload.metadata?.mimetype ?? "application/octet-stream";
      const cacheControl = upload.metadata?.cacheControl ?? "no-cache";
      await store.complete(
        scope,
        {
          ...place,
          owner,
          upsert: true,
          userMetadata: upload.user_metadata ?? {},
          metadata: store.metadataOf({ ...facts, eTag }, { mimetype, cacheControl }),
        },
        upload.version,
      );
      await forget(scope, uploadId);
      return eTag;
    },

    async abort(scope: Scope, place: Place, uploadId: string, owner: string | undefined): Promise<void> {
      await mine(scope, place, uploadId, owner);
      await forget(scope, uploadId);
    },

    /** Uploads under way, as the caller may see them. */
    async list(
      scope: Scope,
      bucket: string,
      asked: { prefix: string; delimiter: string | null; after: string; afterUpload: string; most: number },
    ): Promise<{ key: string; id: string; created_at: Date }[]> {
      const values = [bucket, escapedLike(asked.prefix), asked.most, asked.after, asked.afterUpload];
      const { rows } = await database.as(scope, (client) =>
        asked.delimiter === null
          ? client.query<{ key: string; id: string; created_at: Date }>(
              `select key, id, created_at from storage.s3_multipart_uploads
               where bucket_id = $1 and key like $2 || '%'
                 and ($4 = '' or key > $4 collate "C" or ($5 <> '' and key = $4 and id > $5))
               order by key, created_at limit $3`,
              values,
            )
          : client.query<{ key: string; id: string; created_at: Date }>(
              "select key, id, created_at from storage.list_multipart_uploads_with_delimiter($1, $2, $6, $3, $4, $5)",
              [...values, asked.delimiter],
            ),
      );
      return rows;
    },
  };
}

const bare = (etag: string) => etag.replace(/^"|"$/g, "");

async function* bytesOf(paths: string[]): AsyncGenerator<Uint8Array> {
  for (const path of paths) yield* createReadStream(path, { highWaterMark: 256 * 1024 });
}
