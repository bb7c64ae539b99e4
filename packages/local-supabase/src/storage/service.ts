// Storage: buckets and objects over HTTP, with the answers that hosted Supabase gives.

import type { IncomingMessage, ServerResponse } from "node:http";
import { createBuckets } from "./buckets.ts";
import { answerError, answerJson, type Call } from "./call.ts";
import { openDatabase } from "./database.ts";
import { failures } from "./errors.ts";
import { openFiles } from "./files.ts";
import { bringOverFiles } from "./legacy-files.ts";
import { createObjects } from "./objects.ts";
import { type Needs, routeOf, routesOf } from "./routes.ts";
import type { S3Keys } from "./s3/s3.ts";
import { createStore } from "./store.ts";
import { createLinks, type VerifyToken, verifierOf } from "./tokens.ts";

/** Bytes of a caller without a user, whatever the bucket allows. */
const MOST_WITHOUT_USER = 5 * 1024 * 1024;

export interface StorageOptions {
  /** Of a role that may become the API roles. */
  dbUrl: string;
  jwtSecret: string;
  /** Verifies callers' tokens; absent: those that the secret signed. */
  verify?: VerifyToken;
  folder: string;
  /** Of S3 clients; absent: S3 is not served. */
  s3?: S3Keys;
  /** Bytes of a file at most, whatever its bucket allows. */
  fileSizeLimit: number;
}

/** What the gateway knows of a request. */
export interface Asked {
  /** Path and query as they are to be read, `/storage/v1` included. */
  path: string;
  authorization?: string | undefined;
  /** A user's token as `verify` takes it; S3 clients send one where the gateway does not look. */
  plain: (token: string) => string;
  onRefusal?: Call["onRefusal"];
}

export interface StorageService {
  handle(request: IncomingMessage, response: ServerResponse, asked: Asked): Promise<void>;
  isHealthy(): Promise<boolean>;
  stop(): Promise<void>;
}

/** Starts Storage. Its tables are there already: the bootstrap of the database makes them. */
export async function startStorage(options: StorageOptions): Promise<StorageService> {
  const { jwtSecret, folder, fileSizeLimit: most } = options;
  const started = new Date();
  const database = openDatabase(options.dbUrl);
  const files = openFiles(folder);
  const store = createStore({ database, files, most });
  const links = createLinks(jwtSecret);
  const verify = options.verify ?? verifierOf(jwtSecret);
  const mostOf = (call: Call) => (call.role === "anon" ? MOST_WITHOUT_USER : most);
  const isHealthy = async () =>
    await database.query("select from storage.buckets limit 1").then(
      () => true,
      () => false,
    );
  let serveS3: Promise<(call: Call) => Promise<void>> | undefined;
  /** Loaded by the first request. */
  const loadS3 = (keys: S3Keys) =>
    (serveS3 ??= import("./s3/s3.ts").then(({ createS3 }) =>
      createS3({ database, files, store, keys, verify, most }),
    ));
  let serveResumable: Promise<(call: Call, isSigned: boolean) => Promise<void>> | undefined;
  const routes = routesOf({
    buckets: createBuckets({ database, store, most }),
    objects: createObjects({ database, store, links, mostOf }),
    resumable: async (call, isSigned) => {
      // Loaded by the first one: few starts see any.
      serveResumable ??= import("./tus/resumable.ts").then(({ createResumable }) =>
        createResumable({ files, store, links, folder: files.workPath("resumable"), mostOf }),
      );
      await (await serveResumable)(call, isSigned);
    },
    isHealthy,
  });
  await bringOverFiles(folder, database, files);
  // Bytes of uploads that ended before their rows were written.
  const swept = files.sweep(objectsOf(database), started).catch(() => 0);

  /** Learns who asks; throws where the route needs to know. */
  async function admit(call: Call, needs: Needs): Promise<void> {
    if (needs === "nothing") return;
    if (call.jwt === "") {
      if (needs === "any") return;
      throw failures.accessDenied("Invalid Compact JWS"); // as behind hosted's gateway, which sends an empty header
    }
    try {
      const claims = await verify(call.jwt);
      call.claims = claims;
      call.role = typeof claims.role === "string" ? claims.role : "anon";
      if (claims.sub !== undefined) call.owner = claims.sub;
      call.isAuthenticated = true;
    } catch (error) {
      if (needs === "any") return;
      throw failures.accessDenied(error instanceof Error ? error.message : undefined);
    }
  }

  return {
    isHealthy,

    async handle(request, response, asked) {
      const call = callOf(request, response, asked);
      try {
        if (call.parts[0] === "s3" && options.s3) return await (await loadS3(options.s3))(call);
        const route = routeOf(routes, call.method, call.parts);
        if (!route) return answerNotFound(call);
        await admit(call, route.needs);
        await route.answer(call);
      } catch (error) {
        answerError(call, error);
      }
    },

    async stop() {
      await swept;
      await database.close();
    },
  };
}

function callOf(request: IncomingMessage, response: ServerResponse, asked: Asked): Call {
  const rawPath = asked.path.slice("/storage/v1".length) || "/";
  const [path = "", search = ""] = rawPath.split("?", 2);
  return {
    request,
    response,
    method: request.method ?? "GET",
    parts: path.split("/").slice(1).map(decodeURIComponent),
    query: new URLSearchParams(search),
    rawPath,
    origin: `http://${request.headers.host ?? "localhost"}`,
    jwt: (asked.authorization ?? "").replace(/^bearer\s+/i, ""),
    claims: { role: "anon" },
    role: "anon",
    isAuthenticated: false,
    plain: asked.plain,
    ...(asked.onRefusal ? { onRefusal: asked.onRefusal } : {}),
  };
}

function answerNotFound(call: Call): void {
  call.request.resume();
  const message = `Route ${call.method}:${call.rawPath} not found`;
  answerJson(call, 404, { statusCode: "404", error: "Not Found", message, code: "InvalidRequest" });
}

/** The version of every object, a page at a time. */
async function* objectsOf(database: ReturnType<typeof openDatabase>) {
  let after = "00000000-0000-0000-0000-000000000000";
  for (;;) {
    const { rows } = await database.query<{ id: string; bucket: string; name: string; version: string }>(
      `select id, bucket_id as bucket, name, coalesce(version, '') as version from storage.objects where id > $1
       order by id limit 5000`,
      [after],
    );
    yield* rows;
    const last = rows.at(-1);
    if (!last) return;
    after = last.id;
  }
}
