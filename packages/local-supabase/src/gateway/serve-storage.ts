/** The door of Storage: files are streamed within a limit, everything else is JSON that was read here. */

import type { IncomingMessage, ServerResponse } from "node:http";
import type { JwtKeys } from "../jwt-keys.ts";
import { isUpload } from "../platform/paths.ts";
import { judgeToken } from "../tokens.ts";
import { type Arrivals, lengthOf } from "./bodies/arrival.ts";
import { BODY_LIMITS } from "./bodies/limits.ts";
import { readJson } from "./bodies/read.ts";
import { withJson } from "./bodies/serve.ts";
import { type FetchHandler, type Handed, serveInProcess } from "./in-process.ts";
import { headerOf, refuse } from "./replies.ts";
import type { Route } from "./routes.ts";
import { type Fault, paramsOf } from "./target.ts";
import { bearerOf } from "./well-formed.ts";

/** Of an object's key, as hosted has it; Postgres could not index much longer ones. */
const LONGEST_KEY = 1024;

export interface StorageDoorOptions {
  arrivals: Arrivals;
  jwtKeys: JwtKeys;
}

export function createStorageDoor({ arrivals, jwtKeys }: StorageDoorOptions) {
  /** A user, the secret key, or a link that Storage signed for one upload may send large files. */
  function mayUploadMuch(path: string, search: string, authorization: string | undefined): boolean {
    const link = path.startsWith("/storage/v1/object/upload/sign/") && paramsOf({ search }).get("token");
    const judged = judgeToken(link || (bearerOf(authorization) ?? ""), jwtKeys);
    return judged?.genuine === true && judged.claims.role !== "anon";
  }

  /** Serves one request whose key has been judged. */
  return async (
    request: IncomingMessage,
    response: ServerResponse,
    {
      route,
      handler,
      handed,
    }: { route: Extract<Route, { needsKey: boolean }>; handler: FetchHandler; handed: Handed },
  ): Promise<void> => {
    const [path = "", search = ""] = route.path.split("?", 2);
    const fault = keyFault(path) ?? metadataFault(headerOf(request, "x-metadata"));
    if (fault) return refuse(request, response, route, fault);
    if (!isUpload(request.method ?? "GET", path)) {
      const reading = { route, limit: BODY_LIMITS.storageJson, arrivals };
      return await withJson(request, response, reading, (body) =>
        serveInProcess(request, response, handler, { ...handed, body }),
      );
    }
    const much = mayUploadMuch(path, search, handed.authorization);
    const limit = much ? BODY_LIMITS.storage : BODY_LIMITS.storageWithoutUser;
    if (lengthOf(request.headers) > limit) return refuse(request, response, route, "too_large");
    await serveInProcess(request, response, handler, { ...handed, limit });
  };
}

function keyFault(path: string): Fault | undefined {
  if (path.length <= LONGEST_KEY || decodeURIComponent(path).length <= LONGEST_KEY) return undefined;
  return {
    field: "path",
    message: `An object's key has at most ${LONGEST_KEY} characters`,
    cure: "Choose a shorter name.",
  };
}

/** Base64 of a JSON document. */
function metadataFault(metadata: string | undefined): Fault | undefined {
  if (metadata === undefined || metadata === "") return undefined;
  const read = readJson(Buffer.from(metadata, "base64"));
  return "cure" in read
    ? { field: "x-metadata", message: `The metadata cannot be read: ${read.message}`, cure: read.cure }
    : undefined;
}
