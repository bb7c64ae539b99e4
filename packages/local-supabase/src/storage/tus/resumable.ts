// Resumable uploads (TUS 1.0): the protocol is @tus/server's, rights and rows are Storage's.

import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { MemoryLocker, Metadata, Server, type Upload } from "@tus/server";
import { readJson } from "../../gateway/bodies/read.ts";
import { type Call, headerOf, noteRefusal, scopeOf } from "../call.ts";
import type { Scope } from "../database.ts";
import { asStorageError, failures } from "../errors.ts";
import { digestOf, type Files } from "../files.ts";
import { mustBeBucket, mustBeKey } from "../names.ts";
import type { Store } from "../store.ts";
import type { Links } from "../tokens.ts";
import { UploadFiles, versionOf } from "./upload-files.ts";

/** As on hosted: an upload may be taken up again for a day. */
const LIFE_MS = 24 * 60 * 60 * 1000;

const OPERATIONS: Record<string, string> = {
  POST: "upload.create",
  PATCH: "upload.part",
  HEAD: "upload.get",
  DELETE: "upload.delete",
  OPTIONS: "options",
};

interface Session {
  call: Call;
  scope: Scope;
  isSigned: boolean;
  owner?: string | undefined;
  upsert: boolean;
}

type Options = ConstructorParameters<typeof Server>[0];
/** A request as @tus/server gives it. */
type TusRequest = Parameters<NonNullable<Options["onIncomingRequest"]>>[0];

export interface ResumableOptions {
  files: Files;
  store: Store;
  links: Links;
  folder: string;
  mostOf: (call: Call) => number;
}

/** Serves `/upload/resumable`, and the same for signed links below `/sign`. */
export function createResumable({ files, store, links, folder, mostOf }: ResumableOptions) {
  const sessions = new WeakMap<IncomingMessage, Session>();
  const uploads = new UploadFiles(folder, LIFE_MS);

  const sessionOf = (request: TusRequest): Session => {
    const node = request.runtime?.node?.req;
    const session = node && sessions.get(node as IncomingMessage);
    if (!session) throw new Error("a request without its session");
    return session;
  };

  const server = new Server({
    path: "/storage/v1/upload/resumable",
    datastore: uploads,
    locker: new MemoryLocker(),
    disableTerminationForFinishedUploads: true,
    allowedHeaders: ["Authorization", "X-Upsert", "Upload-Expires", "ApiKey", "x-signature"],

    namingFunction(_request, metadata) {
      if (!metadata) throw failures.invalidRequest("Metadata header is required");
      const [bucket, name] = [metadata.bucketName ?? "", metadata.objectName ?? ""];
      mustBeBucket(bucket);
      mustBeKey(name);
      return `${bucket}/${name}/${randomUUID()}`;
    },

    generateUrl(request, { path, id }) {
      const { call, isSigned } = sessionOf(request);
      return `${call.origin}${path}${isSigned ? "/sign" : ""}/${Buffer.from(id).toString("base64url")}`;
    },

    getFileIdFromRequest(request, last) {
      const { call, isSigned } = sessionOf(request);
      if (call.parts.length !== (isSigned ? 4 : 3) || !last) return undefined;
      return Buffer.from(last, "base64url").toString();
    },

    async maxSize(request, id) {
      const { call, scope, isSigned } = sessionOf(request);
      const place = id === null ? undefined : versionOf(id);
      const most = isSigned ? Number.MAX_SAFE_INTEGER : mostOf(call);
      return place ? Math.min(most, await store.limitsOf(scope, place)) : most;
    },

    async onIncomingRequest(request, id) {
      const session = sessionOf(request);
      const place = versionOf(id);
      if (!place) throw failures.noSuchUpload();
      if (session.isSigned) return await admitLink(session, place);
      if (request.method === "OPTIONS" || request.method === "HEAD") return;
      const { mimetype, size, userMetadata } = await wishOf(request, session.call, id);
      await store.mayWrite(session.scope, {
        bucket: place.bucket,
        name: place.name,
        owner: session.owner,
        upsert: session.upsert,
        userMetadata,
        metadata: {
          ...(mimetype === undefined ? {} : { mimetype }),
          ...(size === undefined ? {} : { contentLength: size }),
        },
      });
    },

    async onUploadCreate(request, upload) {
      const { scope } = sessionOf(request);
      const place = versionOf(upload.id);
      if (!place) throw failures.invalidUploadId();
      const metadata = { ...upload.metadata };
      const age = metadata.cacheControl ?? "";
      metadata.cacheControl = /^-?\d+$/.test(age) ? `max-age=${age}` : "no-cache";
      await store.limitsOf(scope, place, metadata.contentType ?? undefined);
      return { metadata };
    },

    async onUploadFinish(request, upload) {
      await finish(sessionOf(request), upload);
      return { headers: { "Tus-Complete": "1" } };
    },

    onResponseError(request, error) {
      if ("status_code" in error) return undefined; // the protocol's own
      const meant = asStorageError(error);
      noteRefusal(sessionOf(request).call, meant);
      return { status_code: meant.status, body: meant.message };
    },
  });

  /** A signed link says for whom it writes, and whether over what is there. */
  async function admitLink(session: Session, place: { bucket: string; name: string }): Promise<void> {
    const signature = headerOf(session.call, "x-signature");
    if (!signature) throw failures.invalidSignature("Missing x-signature header");
    const { owner, upsert } = await links.verify(signature, "upload", `${place.bucket}/${place.name}`);
    session.owner = owner;
    session.upsert = upsert === true;
  }

  /** What is to be written: of a new upload in its headers, of one under way on disk. */
  async function wishOf(request: TusRequest, call: Call, id: string) {
    if (request.method !== "POST") {
      const { metadata, size } = await uploads.getUpload(id);
      return {
        mimetype: metadata?.contentType ?? undefined,
        size,
        userMetadata: userMetadataOf(metadata),
      };
    }
    const header = headerOf(call, "upload-metadata");
    const length = headerOf(call, "upload-length");
    try {
      const metadata = header === undefined ? undefined : Metadata.parse(header);
      return {
        mimetype: metadata?.contentType ?? undefined,
        size: length === undefined ? undefined : Number(length),
        userMetadata: userMetadataOf(metadata),
      };
    } catch {
      throw failures.invalidParameter("upload-metadata", "Invalid Upload-Metadata header");
    }
  }

  /** Makes an object of an upload's bytes. What is refused here is gone: its client begins again. */
  async function finish({ scope, owner, upsert }: Session, { id, metadata }: Upload): Promise<void> {
    const as = versionOf(id);
    if (!as) throw failures.invalidUploadId();
    try {
      const facts = await digestOf(uploads.pathOf(id));
      const mimetype = metadata?.contentType ?? "application/octet-stream";
      const cacheControl = metadata?.cacheControl ?? "no-cache";
      await files.place(uploads.pathOf(id), as);
      const wish = {
        bucket: as.bucket,
        name: as.name,
        owner,
        upsert,
        userMetadata: userMetadataOf(metadata) ?? {},
        metadata: store.metadataOf(facts, { mimetype, cacheControl }),
      };
      await store.complete(scope, wish, as.version);
      await uploads.finish(id);
    } catch (error) {
      await uploads.remove(id);
      throw error;
    }
  }

  return async (call: Call, isSigned: boolean): Promise<void> => {
    const operation = `storage.tus.${OPERATIONS[call.method]}`;
    const scope = scopeOf(call, isSigned ? `${operation}_signed` : operation);
    sessions.set(call.request, {
      call,
      isSigned,
      scope: isSigned ? { ...scope, role: "service_role", claims: { role: "service_role" } } : scope,
      owner: call.owner,
      upsert: headerOf(call, "x-upsert") === "true",
    });
    await server.handle(call.request, call.response);
  };
}

function userMetadataOf(
  metadata: Record<string, string | null> | undefined,
): Record<string, unknown> | undefined {
  const text = metadata?.metadata;
  if (!text) return undefined;
  const read = readJson(Buffer.from(text));
  return "value" in read && typeof read.value === "object" && read.value !== null
    ? (read.value as Record<string, unknown>)
    : undefined;
}
