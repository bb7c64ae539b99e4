// What Storage answers when something is wrong: hosted's codes and words.

import pg from "pg";

interface Facts {
  /** For programs; S3 clients know most of these. */
  code: string;
  /** The status in the body. */
  status: number;
  message: string;
  /** What older clients read; the code where absent. */
  error?: string;
  /** The status of the answer, where it is neither 400 nor 500. */
  httpStatus?: number;
}

/** An error that is the caller's to read. */
export class StorageError extends Error {
  readonly code: string;
  readonly status: number;
  readonly httpStatus: number;
  readonly error: string;
  /** What the database refused, where it did. */
  readonly refusal?: { code: string; message: string };

  constructor(facts: Facts, refusal?: { code: string; message: string }) {
    super(facts.message);
    this.code = facts.code;
    this.status = facts.status;
    this.httpStatus = facts.httpStatus ?? (facts.status === 500 ? 500 : 400);
    this.error = facts.error ?? facts.code;
    if (refusal) this.refusal = refusal;
  }
}

const fail =
  (code: string, status: number, message: string, error?: string) =>
  (said = message) =>
    new StorageError({ code, status, message: said, ...(error === undefined ? {} : { error }) });

/** Makers of errors; most take another message than the usual one. */
export const failures = {
  noSuchBucket: fail("NoSuchBucket", 404, "Bucket not found", "Bucket not found"),
  noSuchKey: fail("NoSuchKey", 404, "Object not found", "not_found"),
  noSuchUpload: fail("NoSuchUpload", 404, "Upload not found"),
  /** The row is there, its bytes are not. */
  noSuchFile: fail("NoSuchKey", 404, "The resource was not found", "Not found"),
  accessDenied: fail("AccessDenied", 403, "Access denied", "Unauthorized"),
  keyExists: fail("KeyAlreadyExists", 409, "The resource already exists", "Duplicate"),
  bucketExists: fail("BucketAlreadyExists", 409, "The resource already exists", "Duplicate"),
  bucketNotEmpty: fail("ResourceNotEmpty", 409, "The bucket you tried to delete is not empty"),
  invalidBucketName: fail("InvalidBucketName", 400, "Bucket name invalid", "Invalid Input"),
  invalidKey: (key: string) =>
    new StorageError({ code: "InvalidKey", status: 400, message: `Invalid key: ${key}` }),
  invalidMimeType: (type: string) =>
    new StorageError({
      code: "InvalidMimeType",
      status: 415,
      message: `mime type ${type} is not supported`,
      error: "invalid_mime_type",
    }),
  invalidRequest: fail("InvalidRequest", 400, "Invalid Request"),
  invalidParameter: (name: string, message = `Invalid Parameter ${name}`) =>
    new StorageError({ code: "InvalidParameter", status: 400, message }),
  missingParameter: (name: string) =>
    new StorageError({
      code: "MissingParameter",
      status: 400,
      message: `Missing Required Parameter ${name}`,
    }),
  invalidJwt: fail("InvalidJWT", 400, "Invalid JWT"),
  invalidSignature: fail("InvalidSignature", 400, "Invalid signature"),
  expiredToken: fail("ExpiredToken", 400, "The provided token has expired."),
  signatureDoesNotMatch: fail("SignatureDoesNotMatch", 403, "Signature does not match"),
  invalidUploadId: fail("InvalidUploadId", 400, "Invalid upload id"),
  invalidRange: () =>
    new StorageError({
      code: "InvalidRange",
      status: 416,
      httpStatus: 416,
      message: "invalid range provided",
      error: "invalid_range",
    }),
  invalidCopyRange: fail("InvalidRange", 400, "invalid range provided", "invalid_range"),
  missingContentLength: fail("MissingContentLength", 400, "You must provide the Content-Length HTTP header."),
  missingPart: (part: number, upload: string) =>
    new StorageError({
      code: "MissingPart",
      status: 400,
      message: `Part ${part} is missing for upload id ${upload}`,
    }),
  invalidPart: fail("InvalidPart", 400, "One or more of the specified parts could not be found."),
  preconditionFailed: fail(
    "PreconditionFailed",
    412,
    "At least one of the preconditions you specified did not hold",
  ),
  notImplemented: fail("NotImplemented", 501, "This operation of S3 is not supported"),
  malformedXml: fail("MalformedXML", 400, "The XML you provided was not well-formed"),
  invalidChecksum: fail("InvalidChecksum", 400, "The checksum does not match the data"),
  entityTooLarge: (entity = "object") =>
    new StorageError({
      code: "EntityTooLarge",
      status: 413,
      message: `The ${entity} exceeded the maximum allowed size`,
      error: "Payload too large",
    }),
  /** A body that is read as a whole. */
  bodyTooLarge: () =>
    new StorageError({
      code: "EntityTooLarge",
      status: 413,
      httpStatus: 413,
      message: "Request body is too large",
      error: "FastifyError",
    }),
  noContent: fail("InvalidRequest", 400, "No content provided"),
  invalidFileSize: fail("InvalidRequest", 400, "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B"),
  invalidRobots: (message: string) =>
    new StorageError({
      code: "InvalidRequest",
      status: 400,
      message: `Invalid X-Robots-Tag header: ${message}`,
      error: "invalid_x_robots_tag",
    }),
  diskFull: fail("InternalError", 500, "There is no space left on the disk of Storage"),
  slowDown: () =>
    new StorageError({
      code: "SlowDown",
      status: 503,
      httpStatus: 503,
      message: "Too many uploads are under way; try again shortly",
    }),
  lockTimeout: fail("LockTimeout", 503, "acquiring lock timeout", "acquiring_lock_timeout"),
  /** A caller that must have another role. */
  forbidden: (message: string) =>
    new StorageError({
      code: "AccessDenied",
      status: 403,
      httpStatus: 403,
      message,
      error: "Unauthorized",
    }),
  /** What a form of a request lacks, in the words of hosted's validation. */
  invalidForm: (message: string, error = "Error") =>
    new StorageError({ code: "InvalidRequest", status: 400, message, error }),
  featureNotEnabled: (feature: string) =>
    new StorageError({
      code: "FeatureNotEnabled",
      status: 409,
      message: `The feature ${feature} is not enabled for this resource`,
    }),
};

/** The error that an error of the database, of the disk or of this program is to the caller. */
export function asStorageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  if (error instanceof pg.DatabaseError) return ofDatabase(error);
  if (error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT"))
    return failures.diskFull();
  return new StorageError({
    code: "InternalError",
    status: 500,
    message: "Internal Server Error",
    error: "Internal",
  });
}

function ofDatabase({ code = "", message, detail }: pg.DatabaseError): StorageError {
  switch (code) {
    case "42501": {
      const byPolicy = message.includes("row-level security");
      const said = byPolicy ? "new row violates row-level security policy" : message;
      // Rules of the database begin with a code of their own.
      const of = /^[A-Z_]+(?=: )/.exec(message)?.[0] ?? code;
      return new StorageError(
        { code: "AccessDenied", status: 403, message: said, error: "Unauthorized" },
        { code: of, message },
      );
    }
    case "23505":
      return fail("ResourceAlreadyExists", 409, "The resource already exists", "Duplicate")();
    case "23503":
      return detail?.includes("is still referenced from table")
        ? fail(
            "ResourceReferenced",
            409,
            "The resource could not be updated or removed due to a foreign key constraint",
          )()
        : fail("InvalidRequest", 404, "The related resource does not exist")();
    case "55P03":
      return fail("ResourceLocked", 423, "The resource is locked")();
    case "57014":
      return new StorageError({
        code: "DatabaseTimeout",
        status: 544,
        httpStatus: 544,
        message: "The connection to the database timed out",
      });
    case "25006":
      return fail(
        "DatabaseReadOnly",
        503,
        "The database is currently in read-only mode. Please try again later.",
      )();
    case "42P17":
      return fail(
        "DatabaseInvalidObjectDefinition",
        503,
        "The database schema is invalid or incompatible.",
      )();
    case "22P02":
      return failures.invalidParameter("value", message);
    default:
      return fail("DatabaseError", 500, `database error, code: ${code}`)();
  }
}
