/** What S3 clients ask, answered by Storage's own rows and files. */
import { bytesOf } from "../body.ts";
import { removeBucket } from "../buckets.ts";
import { beginAnswer, type Call, type Headers, headerOf, scopeOf } from "../call.ts";
import type { Database } from "../database.ts";
import { failures, StorageError } from "../errors.ts";
import { listV2 } from "../listing.ts";
import { mustBeBucket, mustBeKey, mustBeNewBucket } from "../names.ts";
import { answerBytes, factsOf } from "../reply.ts";
import { findBucket, insertBucket, listBuckets, namesOf, type ObjectRow } from "../rows.ts";
import type { Place, Store } from "../store.ts";
import type { Multipart } from "./multipart.ts";
import { isChunked, lengthOf, payloadOf } from "./payload.ts";
import type { Signed } from "./signature.ts";
import { parsedXml, type Xml, xmlOf } from "./xml.ts";

export const REGION = "local";
const MOST_KEYS = 1000;
const MOST_XML = 2 * 1024 * 1024;

/** A request whose signature was found genuine. */
export interface S3Call {
  call: Call;
  signed: Signed;
  secret: string;
}

export interface OperationsOptions {
  database: Database;
  store: Store;
  multipart: Multipart;
  most: number;
}

export type Operations = ReturnType<typeof createOperations>;

export function createOperations({ database, store, multipart, most }: OperationsOptions) {
  const text = (call: Call, name: string) => call.query.get(name) ?? undefined;

  async function existingBucket(call: Call, operation: string, bucket: string) {
    return await database.asService(scopeOf(call, operation), (client) => findBucket(client, bucket));
  }

  return {
    async listBuckets({ call }: S3Call): Promise<void> {
      const rows = await database.as(scopeOf(call, "storage.s3.bucket.list"), (client) =>
        listBuckets(client, {}),
      );
      answerXml(call, "ListAllMyBucketsResult", {
        Buckets: { Bucket: rows.map(({ name, created_at }) => ({ Name: name, CreationDate: created_at })) },
      });
    },

    async createBucket({ call }: S3Call, bucket: string): Promise<void> {
      mustBeNewBucket(bucket);
      call.request.resume();
      const isPublic = headerOf(call, "x-amz-acl") === "public-read";
      await database.as(scopeOf(call, "storage.s3.bucket.create"), (client) =>
        insertBucket(client, {
          id: bucket,
          name: bucket,
          owner: call.owner,
          public: isPublic,
          fileSizeLimit: null,
          allowedMimeTypes: null,
        }),
      );
      answerEmpty(call, 200, { location: `/${bucket}` });
    },

    async deleteBucket({ call }: S3Call, bucket: string): Promise<void> {
      await removeBucket(database, scopeOf(call, "storage.s3.bucket.delete"), bucket);
      answerEmpty(call, 204);
    },

    async headBucket({ call }: S3Call, bucket: string): Promise<void> {
      await database.as(scopeOf(call, "storage.s3.bucket.head"), (client) => findBucket(client, bucket));
      answerEmpty(call, 200, { "x-amz-bucket-region": REGION });
    },

    async location({ call }: S3Call): Promise<void> {
      answerXml(call, "LocationConstraint", REGION);
    },

    async versioning({ call }: S3Call): Promise<void> {
      answerXml(call, "VersioningConfiguration", { Status: "Suspended", MfaDelete: "Disabled" });
    },

    async list({ call }: S3Call, bucket: string): Promise<void> {
      const isV2 = call.query.get("list-type") === "2";
      const operation = "storage.s3.object.list";
      await existingBucket(call, operation, bucket);
      const limit = Math.min(numberOf(call, "max-keys", 0) ?? MOST_KEYS, MOST_KEYS) || MOST_KEYS;
      const asked = {
        prefix: text(call, "prefix") ?? "",
        delimiter: text(call, "delimiter") || undefined,
        limit,
        cursor: isV2 ? text(call, "continuation-token") : undefined,
        startAfter: text(call, isV2 ? "start-after" : "marker"),
      };
      const found = await database.as(scopeOf(call, operation), (client) => listV2(client, bucket, asked));
      const encoding = text(call, "encoding-type");
      const shown = (key: string) => (encoding === "url" ? encodeURIComponent(key) : key);
      const common = {
        Name: bucket,
        Prefix: asked.prefix,
        Contents: found.objects.map(({ name, metadata, updated_at }) => ({
          Key: shown(name),
          LastModified: updated_at,
          ETag: metadata?.eTag,
          Size: metadata?.size ?? 0,
          StorageClass: "STANDARD",
        })),
        IsTruncated: found.hasNext,
        MaxKeys: limit,
        Delimiter: asked.delimiter,
        EncodingType: encoding,
        CommonPrefixes: found.folders.map(({ name }) => ({ Prefix: shown(name) })),
      };
      const next = found.nextCursorKey;
      answerXml(
        call,
        "ListBucketResult",
        isV2
          ? {
              ...common,
              ContinuationToken: asked.cursor,
              NextContinuationToken: found.nextCursor,
              KeyCount: found.objects.length + found.folders.length,
              StartAfter: asked.startAfter,
            }
          : {
              ...common,
              Marker: asked.startAfter ?? "",
              NextMarker: asked.delimiter && found.hasNext ? next : undefined,
            },
      );
    },

    async get({ call }: S3Call, place: Place): Promise<void> {
      const find = () => store.find(scopeOf(call, "storage.s3.object.get"), place);
      const opened = await store.open(await find(), find);
      const overrides = {
        "content-disposition": text(call, "response-content-disposition"),
        "content-type": text(call, "response-content-type"),
        "cache-control": text(call, "response-cache-control"),
        "content-encoding": text(call, "response-content-encoding"),
        "content-language": text(call, "response-content-language"),
        expires: text(call, "response-expires"),
      };
      const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
      await answerBytes(call, {
        ...opened,
        headers: { ...userHeadersOf(opened.row), ...Object.fromEntries(given) },
      });
    },

    async head({ call }: S3Call, place: Place): Promise<void> {
      const row = await store.find(scopeOf(call, "storage.s3.object.info"), place);
      const { eTag, lastModified, mimetype, cacheControl } = factsOf(row);
      answerEmpty(call, 200, {
        "content-length": row.metadata?.size ?? 0,
        "content-type": mimetype,
        "cache-control": cacheControl,
        etag: eTag,
        "last-modified": lastModified.toUTCString(),
        "accept-ranges": "bytes",
        ...userHeadersOf(row),
      });
    },

    async tagging({ call }: S3Call, place: Place): Promise<void> {
      await store.find(scopeOf(call, "storage.s3.object.get_tagging"), place);
      answerXml(call, "Tagging", { TagSet: null });
    },

    async put({ call, signed, secret }: S3Call, { bucket, name }: Place): Promise<void> {
      mustBeBucket(bucket);
      // A folder, as clients of S3 make one.
      const isFolder = name.endsWith("/") && headerOf(call, "content-length") === "0";
      const place = { bucket, name: isFolder ? `${name}.emptyFolderPlaceholder` : name };
      mustBeKey(place.name);
      const scope = scopeOf(call, "storage.s3.upload");
      const mimetype = headerOf(call, "content-type") ?? "application/octet-stream";
      const limit = await store.limitsOf(scope, place, mimetype);
      const length =
        isChunked(signed) || headerOf(call, "content-length") !== undefined
          ? lengthOf(call, signed)
          : undefined;
      if (length !== undefined && length > limit) throw failures.entityTooLarge();
      const row = await store.upload(scope, {
        ...place,
        source: payloadOf(call, signed, secret),
        mimetype,
        cacheControl: headerOf(call, "cache-control") ?? "no-cache",
        userMetadata: userMetadataOf(call),
        declaredLength: length,
        owner: call.owner,
        upsert: true,
        most: limit,
      });
      answerEmpty(call, 200, { etag: row.metadata?.eTag });
    },

    async copy({ call }: S3Call, to: Place): Promise<void> {
      call.request.resume();
      const from = sourceOf(call);
      const scope = scopeOf(call, "storage.s3.object.copy");
      mustHold(call, await store.find(scope, from));
      const isReplaced = headerOf(call, "x-amz-metadata-directive") === "REPLACE";
      const mimetype = headerOf(call, "content-type");
      const row = await store.copy(scope, {
        from,
        to,
        owner: call.owner,
        upsert: true,
        ...(isReplaced
          ? {
              changed: {
                cacheControl: headerOf(call, "cache-control") ?? "no-cache",
                mimetype: mimetype ?? "application/octet-stream",
                userMetadata: userMetadataOf(call),
              },
            }
          : {}),
      });
      answerXml(call, "CopyObjectResult", { ETag: row.metadata?.eTag, LastModified: row.updated_at });
    },

    async remove({ call }: S3Call, place: Place): Promise<void> {
      try {
        await store.remove(scopeOf(call, "storage.s3.object.delete"), place);
      } catch (error) {
        // What is not there is deleted; a bucket that is not there is a mistake.
        if (!(error instanceof StorageError && error.code === "NoSuchKey")) throw error;
        await existingBucket(call, "storage.s3.object.delete", place.bucket);
      }
      answerEmpty(call, 204);
    },

    async removeMany({ call }: S3Call, bucket: string): Promise<void> {
      const document = await parsedXml(await bytesOf(call.request, MOST_XML), ["Object"]);
      const asked = document.Delete as { Object?: { Key?: string }[] } | undefined;
      const keys = (asked?.Object ?? []).map(({ Key }) => Key ?? "");
      if (!asked?.Object) throw failures.malformedXml();
      if (keys.length > MOST_KEYS)
        throw failures.malformedXml(`At most ${MOST_KEYS} objects can be deleted per request.`);
      const operation = "storage.s3.object.delete_many";
      await existingBucket(call, operation, bucket);
      const gone = new Set(
        (await store.removeMany(scopeOf(call, operation), bucket, keys)).map(({ name }) => name),
      );
      const kept = await database.asService(scopeOf(call, operation), (client) =>
        namesOf(client, bucket, keys),
      );
      answerXml(call, "DeleteResult", {
        Deleted: keys.filter((key) => gone.has(key) || !kept.has(key)).map((Key) => ({ Key })),
        Error: keys
          .filter((key) => !gone.has(key) && kept.has(key))
          .map((Key) => ({ Key, Code: "AccessDenied", Message: "Access Denied" })),
      });
    },

    async createUpload({ call }: S3Call, place: Place): Promise<void> {
      call.request.resume();
      const mimetype = headerOf(call, "content-type");
      const cacheControl = headerOf(call, "cache-control");
      const UploadId = await multipart.create(scopeOf(call, "storage.s3.upload.create_multipart"), place, {
        owner: call.owner,
        userMetadata: userMetadataOf(call),
        metadata: {
          ...(mimetype === undefined ? {} : { mimetype }),
          ...(cacheControl === undefined ? {} : { cacheControl }),
        },
      });
      answerXml(call, "InitiateMultipartUploadResult", { Bucket: place.bucket, Key: place.name, UploadId });
    },

    async uploadPart({ call, signed, secret }: S3Call, place: Place): Promise<void> {
      const { eTag } = await multipart.addPart(scopeOf(call, "storage.s3.upload.part"), place, {
        ...partOf(call),
        source: payloadOf(call, signed, secret),
        length: lengthOf(call, signed),
        most,
        owner: call.owner,
      });
      answerEmpty(call, 200, { etag: eTag });
    },

    async copyPart({ call }: S3Call, place: Place): Promise<void> {
      call.request.resume();
      const scope = scopeOf(call, "storage.s3.upload.part_copy");
      const find = () => store.find(scope, sourceOf(call));
      const { handle, row } = await store.open(await find(), find);
      try {
        const { size } = await handle.stat();
        mustHold(call, row);
        const asked = headerOf(call, "x-amz-copy-source-range");
        const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(asked ?? `bytes=0-${size - 1}`) ?? [];
        const [start, end] = [Number(first), Number(last)];
        if (first === undefined || start > end || end >= size) throw failures.invalidCopyRange();
        const { eTag, lastModified } = await multipart.addPart(scope, place, {
          ...partOf(call),
          source: handle.createReadStream({ start, end, autoClose: false }),
          length: end - start + 1,
          most,
          owner: call.owner,
        });
        answerXml(call, "CopyPartResult", { ETag: eTag, LastModified: lastModified });
      } finally {
        await handle.close();
      }
    },

    async completeUpload({ call }: S3Call, place: Place): Promise<void> {
      const bytes = await bytesOf(call.request, MOST_XML);
      const document = bytes.length === 0 ? {} : await parsedXml(bytes, ["Part"]);
      const asked = document.CompleteMultipartUpload as
        | { Part?: { PartNumber?: string; ETag?: string }[] }
        | undefined;
      const parts = (asked?.Part ?? []).map(({ PartNumber, ETag }) => ({
        number: Number(PartNumber),
        eTag: unescaped(ETag ?? ""),
      }));
      const eTag = await multipart.complete(scopeOf(call, "storage.s3.upload.complete_multipart"), place, {
        uploadId: uploadIdOf(call),
        parts,
        owner: call.owner,
        most,
      });
      answerXml(call, "CompleteMultipartUploadResult", {
        Location: `${place.bucket}/${place.name}`,
        Bucket: place.bucket,
        Key: place.name,
        ETag: eTag,
      });
    },

    async abortUpload({ call }: S3Call, place: Place): Promise<void> {
      await multipart.abort(
        scopeOf(call, "storage.s3.upload.abort_multipart"),
        place,
        uploadIdOf(call),
        call.owner,
      );
      answerEmpty(call, 204);
    },

    async listParts({ call }: S3Call, place: Place): Promise<void> {
      const scope = scopeOf(call, "storage.s3.upload.list_parts");
      const uploadId = uploadIdOf(call);
      await multipart.find(scope, place, uploadId);
      const limit = Math.min(numberOf(call, "max-parts", 1) ?? MOST_KEYS, MOST_KEYS);
      const marker = numberOf(call, "part-number-marker", 0) ?? 0;
      const rows = await multipart.partsOf(scope, uploadId, marker, limit + 1);
      const shown = rows.slice(0, limit);
      answerXml(call, "ListPartsResult", {
        Bucket: place.bucket,
        Key: place.name,
        UploadId: uploadId,
        PartNumberMarker: marker,
        NextPartNumberMarker: rows.length > limit ? shown.at(-1)?.part_number : undefined,
        MaxParts: limit,
        IsTruncated: rows.length > limit,
        Part: shown.map((part) => ({
          PartNumber: part.part_number,
          LastModified: part.created_at,
          ETag: part.etag,
          Size: part.size,
        })),
      });
    },

    async listUploads({ call }: S3Call, bucket: string): Promise<void> {
      const operation = "storage.s3.upload.list_multipart";
      await existingBucket(call, operation, bucket);
      const limit = Math.min(numberOf(call, "max-uploads", 1) ?? MOST_KEYS, MOST_KEYS);
      const prefix = text(call, "prefix") ?? "";
      const delimiter = text(call, "delimiter") || null;
      const rows = await multipart.list(scopeOf(call, operation), bucket, {
        prefix,
        delimiter,
        after: text(call, "key-marker") ?? "",
        afterUpload: text(call, "upload-id-marker") ?? "",
        most: limit + 1,
      });
      const shown = rows.slice(0, limit);
      const isFolder = (key: string) => delimiter !== null && key.slice(prefix.length).includes(delimiter);
      const last = rows.length > limit ? shown.at(-1) : undefined;
      answerXml(call, "ListMultipartUploadsResult", {
        Bucket: bucket,
        Prefix: prefix,
        KeyMarker: text(call, "key-marker"),
        UploadIdMarker: text(call, "upload-id-marker"),
        NextKeyMarker: last?.key,
        NextUploadIdMarker: last?.id,
        MaxUploads: limit,
        IsTruncated: rows.length > limit,
        Delimiter: delimiter ?? undefined,
        Upload: shown
          .filter(({ key }) => !isFolder(key))
          .map(({ key, id, created_at }) => ({
            Key: key,
            UploadId: id,
            Initiated: created_at,
            StorageClass: "STANDARD",
          })),
        CommonPrefixes: shown.filter(({ key }) => isFolder(key)).map(({ key }) => ({ Prefix: key })),
      });
    },
  };
}

export function answerXml(call: Call, root: string, content: Xml, status = 200): void {
  const text = xmlOf(root, content);
  beginAnswer(call, status, {
    "content-type": "application/xml; charset=utf-8",
    "content-length": Buffer.byteLength(text),
  });
  call.response.end(call.method === "HEAD" ? undefined : text);
}

function answerEmpty(call: Call, status: number, headers: Headers = {}): void {
  beginAnswer(call, status, {
    ...(status === 204 || call.method === "HEAD" ? {} : { "content-length": 0 }),
    ...headers,
  });
  call.response.end();
}

/** Metadata of the user's own, from its headers. */
function userMetadataOf({ request }: Call): Record<string, string> {
  const prefix = "x-amz-meta-";
  return Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      name.startsWith(prefix) && typeof value === "string" ? [[name.slice(prefix.length), value]] : [],
    ),
  );
}

/** The same as headers; what cannot stand in one is counted. */
function userHeadersOf({ user_metadata }: ObjectRow): Headers {
  const headers: Headers = {};
  let missing = 0;
  for (const [name, value] of Object.entries(user_metadata ?? {})) {
    const fits =
      /^[\w!#$%&'*+.^`|~-]+$/.test(name) && typeof value === "string" && /^[\x20-\x7e]*$/.test(value);
    if (fits) headers[`x-amz-meta-${name.toLowerCase()}`] = value as string;
    else missing += 1;
  }
  if (missing > 0) headers["x-amz-missing-meta"] = missing;
  return headers;
}

function sourceOf(call: Call): Place {
  const header = headerOf(call, "x-amz-copy-source") ?? "";
  const [bucket = "", ...name] = decodeURIComponent(header.split("?", 1)[0] ?? "")
    .replace(/^\//, "")
    .split("/");
  if (bucket === "") throw failures.invalidBucketName();
  if (name.join("/") === "") throw failures.missingParameter("CopySource");
  return { bucket, name: name.join("/") };
}

/** Throws where a copy's conditions say that its source is another. */
function mustHold(call: Call, row: ObjectRow): void {
  const { eTag, lastModified } = factsOf(row);
  const header = (name: string) => headerOf(call, `x-amz-copy-source-if-${name}`);
  const same = (tag: string) => tag.replace(/^"|"$/g, "") === eTag.replace(/^"|"$/g, "");
  const [match, noneMatch] = [header("match"), header("none-match")];
  const [since, until] = [header("modified-since"), header("unmodified-since")];
  const fails =
    (match !== undefined && !same(match)) ||
    (noneMatch !== undefined && same(noneMatch)) ||
    (since !== undefined && lastModified.getTime() <= Date.parse(since)) ||
    (until !== undefined && lastModified.getTime() > Date.parse(until));
  if (fails) throw failures.preconditionFailed();
}

function uploadIdOf(call: Call): string {
  const id = call.query.get("uploadId");
  if (!id) throw failures.invalidUploadId();
  return id;
}

function partOf(call: Call): { uploadId: string; number: number } {
  const number = numberOf(call, "partNumber", 1);
  if (number === undefined || number > 10_000) throw failures.invalidParameter("partNumber");
  return { uploadId: uploadIdOf(call), number };
}

function numberOf(call: Call, name: string, least: number): number | undefined {
  const text = call.query.get(name);
  if (text === null || text === "") return undefined;
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < least) throw failures.invalidParameter(name);
  return number;
}

/** Clients write the quotes of a tag as entities, which the parser leaves in some forms. */
const unescaped = (tag: string) => tag.replaceAll("&quot;", '"').replaceAll("&#34;", '"');
