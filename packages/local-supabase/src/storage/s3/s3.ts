// The S3 protocol: who signed a request, and which operation it is.

import type { IncomingMessage } from "node:http";
import { lingerOver } from "../../gateway/replies.ts";
import { type Call, headerOf, noteRefusal } from "../call.ts";
import type { Database } from "../database.ts";
import { asStorageError, failures } from "../errors.ts";
import type { Files } from "../files.ts";
import { mustBeBucket } from "../names.ts";
import type { Store } from "../store.ts";
import type { VerifyToken } from "../tokens.ts";
import { createMultipart } from "./multipart.ts";
import { answerXml, createOperations, type Operations, type S3Call } from "./operations.ts";
import { isGenuine, type Signed, signedOf } from "./signature.ts";

/** The keys of S3 clients. */
export interface S3Keys {
  /** Of a client that may do everything. */
  accessKeyId: string;
  secretAccessKey: string;
  /** With a user's token as session token this is the secret, and policies decide. */
  publicKey: string;
}

export interface S3Options {
  database: Database;
  files: Files;
  store: Store;
  keys: S3Keys;
  verify: VerifyToken;
  most: number;
}

/** Serves `/s3`. */
export function createS3({ database, files, store, keys, verify, most }: S3Options) {
  const multipart = createMultipart({ database, files, store });
  const operations = createOperations({ database, store, multipart, most });

  /** Learns who asks, by their signature; throws where it is not genuine. */
  async function admit(call: Call): Promise<S3Call> {
    const signed = signedOf(call);
    const secret = secretOf(signed);
    if (!isGenuine(call, signed, secret)) {
      throw failures.signatureDoesNotMatch(
        signed.sessionToken === undefined
          ? "The request signature we calculated does not match the signature you provided. Check your key and signing method."
          : "The request signature we calculated does not match the signature you provided, Check your credentials. The session token should be a valid JWT token",
      );
    }
    if (signed.sessionToken === undefined) {
      call.claims = { role: "service_role" };
      call.role = "service_role";
    } else {
      const token = call.plain(signed.sessionToken);
      const claims = await verify(token).catch((error: Error) => {
        throw failures.accessDenied(error.message);
      });
      call.jwt = token;
      call.claims = claims;
      call.role = typeof claims.role === "string" ? claims.role : "anon";
      if (claims.sub !== undefined) call.owner = claims.sub;
    }
    call.isAuthenticated = true;
    return { call, signed, secret };
  }

  function secretOf({ accessKey, sessionToken }: Signed): string {
    if (sessionToken !== undefined) return keys.publicKey;
    if (accessKey !== keys.accessKeyId) throw failures.accessDenied("Invalid Access Key");
    return keys.secretAccessKey;
  }

  return async (call: Call): Promise<void> => {
    try {
      const s3 = await admit(call);
      const [, bucket = "", ...rest] = call.parts;
      const name = rest.join("/");
      if (bucket !== "") mustBeBucket(bucket);
      const answer = operationOf(operations, call, bucket, name);
      if (!answer) throw failures.notImplemented();
      await answer(s3);
    } catch (error) {
      answerError(call, error);
    }
  };
}

/** The operation of a request; S3 tells them apart by their parameters and headers. */
function operationOf(
  operations: Operations,
  call: Call,
  bucket: string,
  name: string,
): ((s3: S3Call) => Promise<void>) | undefined {
  const has = (parameter: string) => call.query.has(parameter);
  const isCopy = headerOf(call, "x-amz-copy-source") !== undefined;
  if (bucket === "") return call.method === "GET" ? operations.listBuckets : undefined;
  if (name === "") {
    const of = (operation: (s3: S3Call, bucket: string) => Promise<void>) => (s3: S3Call) =>
      operation(s3, bucket);
    switch (call.method) {
      case "GET":
        if (has("location")) return operations.location;
        if (has("versioning")) return operations.versioning;
        return of(has("uploads") ? operations.listUploads : operations.list);
      case "HEAD":
        return of(operations.headBucket);
      case "PUT":
        return of(operations.createBucket);
      case "DELETE":
        return of(operations.deleteBucket);
      case "POST":
        return has("delete") ? of(operations.removeMany) : undefined;
      default:
        return undefined;
    }
  }
  const of =
    (operation: (s3: S3Call, place: { bucket: string; name: string }) => Promise<void>) => (s3: S3Call) =>
      operation(s3, { bucket, name });
  switch (call.method) {
    case "GET":
      if (has("tagging")) return of(operations.tagging);
      return of(has("uploadId") ? operations.listParts : operations.get);
    case "HEAD":
      return of(operations.head);
    case "PUT":
      if (has("uploadId")) return of(isCopy ? operations.copyPart : operations.uploadPart);
      return of(isCopy ? operations.copy : operations.put);
    case "POST":
      if (has("uploads")) return of(operations.createUpload);
      return has("uploadId") ? of(operations.completeUpload) : undefined;
    case "DELETE":
      return of(has("uploadId") ? operations.abortUpload : operations.remove);
    default:
      return undefined;
  }
}

function answerError(call: Call, error: unknown): void {
  const meant = asStorageError(error);
  noteRefusal(call, meant);
  if (!call.request.complete) lingerOver(call.request as IncomingMessage);
  if (call.response.headersSent) {
    call.response.destroy();
    return;
  }
  for (const name of call.response.getHeaderNames()) call.response.removeHeader(name);
  const Resource = call.parts.slice(1).join("/");
  answerXml(call, "Error", { Resource, Code: meant.code, Message: meant.message }, meant.status);
}
