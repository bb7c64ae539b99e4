/** What `/object` answers. */
import { incomingOf, jsonOf, metadataOf } from "./body.ts";
import { answerJson, type Call, headerOf, scopeOf } from "./call.ts";
import type { Database, Scope } from "./database.ts";
import { failures } from "./errors.ts";
import { type ListAsked, list, listV2 } from "./listing.ts";
import { mustBeBucket, mustBeKey } from "./names.ts";
import { answerBytes, answerHead, answerInfo } from "./reply.ts";
import { findBucket, namesOf, type ObjectRow } from "./rows.ts";
import type { Place, Store } from "./store.ts";
import { type Links, mustBeLife } from "./tokens.ts";
import { type Shape, validated } from "./validation.ts";

const MOST_NAMES = 1000;
/** As on hosted. */
const UPLOAD_LINK_SECONDS = 2 * 60 * 60;
const text = { type: "string" } as const;

const SHAPES = {
  list: {
    type: "object",
    properties: {
      prefix: text,
      limit: { type: "integer", minimum: 1 },
      offset: { type: "integer", minimum: 0 },
      search: text,
      sortBy: {
        type: "object",
        properties: {
          column: { type: "string", enum: ["name", "updated_at", "created_at", "last_accessed_at"] },
          order: { type: "string", enum: ["asc", "desc"] },
        },
        required: ["column"],
      },
    },
    required: ["prefix"],
  },
  listV2: {
    type: "object",
    properties: {
      prefix: text,
      limit: { type: "integer", minimum: 1 },
      cursor: text,
      with_delimiter: { type: "boolean" },
      sortBy: {
        type: "object",
        properties: {
          column: { type: "string", enum: ["name", "updated_at", "created_at"] },
          order: { type: "string", enum: ["asc", "desc"] },
        },
        required: ["column"],
      },
    },
  },
  copy: {
    type: "object",
    properties: {
      bucketId: text,
      sourceKey: text,
      destinationBucket: text,
      destinationKey: text,
      copyMetadata: { type: "boolean" },
      metadata: { type: "object", properties: { cacheControl: text, mimetype: text } },
    },
    required: ["sourceKey", "bucketId", "destinationKey"],
  },
  move: {
    type: "object",
    properties: { bucketId: text, sourceKey: text, destinationBucket: text, destinationKey: text },
    required: ["bucketId", "sourceKey", "destinationKey"],
  },
  names: {
    type: "object",
    properties: { prefixes: { type: "array", items: text, minItems: 1 } },
    required: ["prefixes"],
  },
  sign: {
    type: "object",
    properties: { expiresIn: { type: "integer", minimum: 1 } },
    required: ["expiresIn"],
  },
  signMany: {
    type: "object",
    properties: {
      expiresIn: { type: "integer", minimum: 1 },
      paths: { type: "array", items: text, minItems: 1, maxItems: MOST_NAMES },
    },
    required: ["expiresIn", "paths"],
  },
} as const satisfies Record<string, Shape>;

interface Named {
  bucketId: string;
  sourceKey: string;
  destinationBucket?: string;
  destinationKey: string;
}

export interface ObjectsOptions {
  database: Database;
  store: Store;
  links: Links;
  /** Bytes that a caller's file may have, whatever the bucket allows. */
  mostOf: (call: Call) => number;
}

export function createObjects({ database, store, links, mostOf }: ObjectsOptions) {
  /** Writes the file that a request carries. */
  async function receive(
    call: Call,
    scope: Scope,
    place: Place,
    { owner, upsert, most }: { owner?: string | undefined; upsert: boolean; most: number },
  ): Promise<ObjectRow> {
    mustBeBucket(place.bucket);
    // Asked before anything of the body is read.
    await store.limitsOf(scope, place);
    const file = await incomingOf(call);
    const limit = Math.min(most, await store.limitsOf(scope, place, file.mimetype));
    if (file.isExact && (file.declaredLength ?? 0) > limit) throw failures.entityTooLarge();
    return await store.upload(scope, { ...place, ...file, owner, upsert, most: limit });
  }

  /** The row of an object that everybody may read, or the caller. */
  async function look(
    call: Call,
    scope: Scope,
    place: Place,
    isPublicRoute = false,
  ): Promise<() => Promise<ObjectRow>> {
    mustBeBucket(place.bucket);
    const bucket = await database.asService(scope, (client) => findBucket(client, place.bucket));
    if (!call.isAuthenticated && !bucket.public) throw failures.noSuchBucket();
    return bucket.public || isPublicRoute
      ? () => store.findAsService(scope, place)
      : () => store.find(scope, place);
  }

  async function send(call: Call, find: () => Promise<ObjectRow>, expires?: string): Promise<void> {
    const opened = await store.open(await find(), find);
    const download = call.query.get("download") ?? undefined;
    await answerBytes(call, { ...opened, download, ...(expires === undefined ? {} : { expires }) });
  }

  return {
    async upload(call: Call, place: Place, isUpdate: boolean): Promise<void> {
      const scope = scopeOf(call, isUpdate ? "storage.object.upload_update" : "storage.object.upload");
      const upsert = isUpdate || headerOf(call, "x-upsert") === "true";
      const row = await receive(call, scope, place, { owner: call.owner, upsert, most: mostOf(call) });
      answerJson(call, 200, { Id: row.id, Key: `${place.bucket}/${place.name}` });
    },

    async uploadSigned(call: Call, place: Place): Promise<void> {
      const { owner, upsert } = await links.verify(tokenOf(call), "upload", `${place.bucket}/${place.name}`);
      const scope = {
        ...scopeOf(call, "storage.object.upload_signed"),
        role: "service_role",
        claims: { role: "service_role" },
      };
      // Whoever signed the link was a user with the right to write.
      const most = Number.POSITIVE_INFINITY;
      await receive(call, scope, place, { owner, upsert: upsert === true, most });
      answerJson(call, 200, { Key: `${place.bucket}/${place.name}` });
    },

    async get(call: Call, place: Place): Promise<void> {
      await send(call, await look(call, scopeOf(call, "storage.object.get_authenticated"), place));
    },

    async getPublic(call: Call, place: Place): Promise<void> {
      const scope = scopeOf(call, "storage.object.get_public");
      mustBeBucket(place.bucket);
      const bucket = await database.asService(scope, (client) => findBucket(client, place.bucket));
      if (!bucket.public) throw failures.noSuchBucket();
      await send(call, () => store.findAsService(scope, place));
    },

    async getSigned(call: Call, place: Place): Promise<void> {
      const { exp } = await links.verify(tokenOf(call), "download", `${place.bucket}/${place.name}`);
      const scope = scopeOf(call, "storage.object.get_signed");
      const expires = new Date(exp * 1000).toUTCString();
      await send(call, () => store.findAsService(scope, place), expires);
    },

    async info(
      call: Call,
      place: Place,
      { isPublic, isHead }: { isPublic: boolean; isHead: boolean },
    ): Promise<void> {
      const operation = isPublic
        ? "storage.object.info_public"
        : isHead
          ? "object.head_authenticated_info"
          : "object.get_authenticated_info";
      const find = await look(call, scopeOf(call, operation), place, isPublic);
      (isHead ? answerHead : answerInfo)(call, await find());
    },

    async list(call: Call, bucket: string): Promise<void> {
      const asked = validated("body", SHAPES.list, await jsonOf(call)) as ListAsked;
      mustBeBucket(bucket);
      const rows = await database.as(scopeOf(call, "storage.object.list"), (client) =>
        list(client, bucket, asked),
      );
      answerJson(call, 200, rows);
    },

    async listV2(call: Call, bucket: string): Promise<void> {
      const { with_delimiter, ...asked } = validated("body", SHAPES.listV2, await jsonOf(call)) as {
        with_delimiter?: boolean;
        prefix?: string;
        limit?: number;
        cursor?: string;
        sortBy?: { column: string; order?: string };
      };
      mustBeBucket(bucket);
      const answer = await database.as(scopeOf(call, "storage.object.list_v2"), (client) =>
        listV2(client, bucket, { ...asked, delimiter: with_delimiter ? "/" : undefined }),
      );
      answerJson(call, 200, answer);
    },

    async copy(call: Call): Promise<void> {
      const body = validated("body", SHAPES.copy, await jsonOf(call)) as Named & {
        copyMetadata?: boolean;
        metadata?: { cacheControl?: string; mimetype?: string };
      };
      const to = { bucket: body.destinationBucket || body.bucketId, name: body.destinationKey };
      mustBeBucket(body.bucketId);
      const row = await store.copy(scopeOf(call, "storage.object.copy"), {
        from: { bucket: body.bucketId, name: body.sourceKey },
        to,
        owner: call.owner,
        upsert: headerOf(call, "x-upsert") === "true",
        ...(body.copyMetadata === false
          ? { changed: { ...body.metadata, userMetadata: metadataOf(headerOf(call, "x-metadata")) } }
          : {}),
      });
      answerJson(call, 200, { Id: row.id, Key: `${to.bucket}/${to.name}`, ...row });
    },

    async move(call: Call): Promise<void> {
      const body = validated("body", SHAPES.move, await jsonOf(call)) as Named;
      mustBeBucket(body.bucketId);
      const from = { bucket: body.bucketId, name: body.sourceKey };
      const to = { bucket: body.destinationBucket || body.bucketId, name: body.destinationKey };
      const row = await store.move(scopeOf(call, "storage.object.move"), from, to, call.owner);
      answerJson(call, 200, { message: "Successfully moved", Id: row.id, Key: row.name });
    },

    async remove(call: Call, place: Place): Promise<void> {
      await jsonOf(call, { mayBeEmpty: true });
      mustBeBucket(place.bucket);
      await store.remove(scopeOf(call, "storage.object.delete"), place);
      answerJson(call, 200, { message: "Successfully deleted" });
    },

    async removeMany(call: Call, bucket: string): Promise<void> {
      const { prefixes } = validated("body", SHAPES.names, await jsonOf(call)) as { prefixes: string[] };
      mustBeBucket(bucket);
      answerJson(
        call,
        200,
        await store.removeMany(scopeOf(call, "storage.object.delete_many"), bucket, prefixes),
      );
    },

    async sign(call: Call, place: Place): Promise<void> {
      const { expiresIn } = validated("body", SHAPES.sign, await jsonOf(call)) as { expiresIn: number };
      mustBeLife(expiresIn);
      mustBeBucket(place.bucket);
      await store.find(scopeOf(call, "storage.object.sign"), place);
      const url = `${place.bucket}/${place.name}`;
      answerJson(call, 200, { signedURL: await linkTo(url, expiresIn) });
    },

    async signMany(call: Call, bucket: string): Promise<void> {
      const { expiresIn, paths } = validated("body", SHAPES.signMany, await jsonOf(call)) as {
        expiresIn: number;
        paths: string[];
      };
      mustBeLife(expiresIn);
      mustBeBucket(bucket);
      const there = await database.as(scopeOf(call, "storage.object.sign_many"), (client) =>
        namesOf(client, bucket, paths),
      );
      const entries = paths.map(async (path) =>
        there.has(path)
          ? { error: null, path, signedURL: await linkTo(`${bucket}/${path}`, expiresIn) }
          : {
              error: "Either the object does not exist or you do not have access to it",
              path,
              signedURL: null,
            },
      );
      answerJson(call, 200, await Promise.all(entries));
    },

    async signUpload(call: Call, place: Place): Promise<void> {
      await jsonOf(call, { mayBeEmpty: true });
      mustBeBucket(place.bucket);
      mustBeKey(place.name);
      const upsert = headerOf(call, "x-upsert") === "true";
      const { owner } = call;
      const length = headerOf(call, "content-length");
      const mimetype = headerOf(call, "content-type");
      await store.mayWrite(scopeOf(call, "storage.object.sign_upload_url"), {
        ...place,
        owner,
        upsert,
        userMetadata: metadataOf(headerOf(call, "x-metadata")),
        metadata: {
          ...(mimetype === undefined ? {} : { mimetype }),
          ...(length === undefined ? {} : { contentLength: Number(length) }),
        },
      });
      const url = `${place.bucket}/${place.name}`;
      const token = await links.sign("upload", url, UPLOAD_LINK_SECONDS, { owner, upsert });
      answerJson(call, 200, { url: `/object/upload/sign/${url}?token=${token}`, token });
    },
  };

  async function linkTo(url: string, seconds: number): Promise<string> {
    return `/object/sign/${url}?token=${await links.sign("download", url, seconds)}`;
  }
}

function tokenOf(call: Call): string {
  const token = call.query.get("token");
  if (token === null) throw failures.invalidForm("querystring must have required property 'token'");
  return token;
}
