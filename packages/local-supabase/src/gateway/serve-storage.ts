/** The door of Storage: which token it gets. Bodies are Storage's own to read, so that files are streamed. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { StorageService } from "../storage/service.ts";
import type { ApiRole } from "../tokens.ts";
import type { Refusal as DatabaseRefusal } from "./refusals.ts";

export interface StorageDoorOptions {
  tokenFor: (role: ApiRole) => string;
  /** A user's token as Storage verifies it. */
  plain: (token: string) => string;
  /** The role of a key that stands where a token would. */
  roleOf: (key: string) => ApiRole | undefined;
}

/** What the gateway knows of one request. */
export interface StorageRequest {
  path: string;
  /** The role of its `apikey`. */
  keyRole: ApiRole | undefined;
  /** The token of its Authorization header. */
  token: string | undefined;
  onRefusal: (refusal: DatabaseRefusal) => void;
}

/**
 * Serves Storage. As behind hosted's gateway a token alone is enough (resumable uploads send no `apikey`), and a key stands
 * in for one that is not there. S3 requests pass as they are: their signature is in that header, or in the address.
 */
export function createStorageDoor({ roleOf, tokenFor, plain }: StorageDoorOptions) {
  return async (
    request: IncomingMessage,
    response: ServerResponse,
    service: StorageService,
    { path, token, keyRole, onRefusal }: StorageRequest,
  ): Promise<void> => {
    const isS3 = path.startsWith("/storage/v1/s3");
    const role = token === undefined ? keyRole : token.startsWith("sb_") ? roleOf(token) : undefined;
    const shown = role && !isS3 ? tokenFor(role) : token && plain(token);
    await service.handle(request, response, {
      path,
      authorization: shown === undefined ? request.headers.authorization : `Bearer ${shown}`,
      plain,
      onRefusal,
    });
  };
}

/** An Authorization of S3: a signature, and no token. */
export const isS3Signature = (authorization: string | undefined): boolean =>
  authorization?.startsWith("AWS4-HMAC-SHA256 ") === true;
