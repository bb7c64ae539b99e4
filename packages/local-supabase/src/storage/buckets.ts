/** What `/bucket` answers. */
import { jsonOf } from "./body.ts";
import { answerJson, type Call, headerOf, scopeOf } from "./call.ts";
import type { Database } from "./database.ts";
import { failures } from "./errors.ts";
import { bytesOf, mustBeBucket, mustBeNewBucket, mustBeTypes } from "./names.ts";
import {
  type BucketList,
  type BucketRow,
  findBucket,
  insertBucket,
  listBuckets,
  updateBucket,
} from "./rows.ts";
import type { Store } from "./store.ts";
import { type Shape, validated } from "./validation.ts";

const LIMITS = {
  public: { type: "boolean" },
  file_size_limit: { type: "fileSize" },
  allowed_mime_types: { type: "array", items: { type: "string" }, nullable: true },
} as const satisfies Record<string, Shape>;

const NEW: Shape = {
  type: "object",
  properties: {
    name: { type: "string" },
    id: { type: "string" },
    type: { type: "string", enum: ["STANDARD", "ANALYTICS"] },
    ...LIMITS,
  },
  required: ["name"],
};
const CHANGE: Shape = { type: "object", properties: LIMITS, minProperties: 1 };
const LIST: Shape = {
  type: "object",
  properties: {
    limit: { type: "integer", minimum: 1 },
    offset: { type: "integer", minimum: 0 },
    sortColumn: { type: "string", enum: ["id", "name", "created_at", "updated_at"] },
    sortOrder: { type: "string", enum: ["asc", "desc"] },
    search: { type: "string" },
  },
};
const MOST_TO_EMPTY = 200_000;

interface Limits {
  public?: boolean;
  file_size_limit?: number | string | null;
  allowed_mime_types?: string[] | null;
}

export function createBuckets({ database, store, most }: { database: Database; store: Store; most: number }) {
  /** Of what a caller writes, what a row has. */
  function limitsOf({ file_size_limit: size, allowed_mime_types: types }: Limits) {
    const bytes = typeof size === "string" ? bytesOf(size) : size;
    if (typeof bytes === "number" && bytes > most) throw failures.entityTooLarge();
    const kept = types?.filter((type) => type !== "");
    if (kept) mustBeTypes(kept);
    return { bytes, types: types === null ? null : kept };
  }

  return {
    async create(call: Call): Promise<void> {
      const body = validated("body", NEW, await jsonOf(call)) as Limits & {
        name: string;
        id?: string;
        type?: string;
      };
      mustBeNewBucket(body.name);
      if (body.type === "ANALYTICS")
        throw failures.featureNotEnabled("Iceberg buckets are not enabled for this tenant");
      const id = body.id || body.name;
      mustBeBucket(id);
      const { bytes, types } = limitsOf(body);
      await database.as(scopeOf(call, "storage.bucket.create"), (client) =>
        insertBucket(client, {
          id,
          name: body.name,
          owner: call.owner,
          public: body.public ?? false,
          fileSizeLimit: bytes ?? null,
          allowedMimeTypes: types ?? null,
        }),
      );
      answerJson(call, 200, { name: body.name });
    },

    async list(call: Call): Promise<void> {
      const asked = validated("querystring", LIST, Object.fromEntries(call.query)) as BucketList;
      const rows = await database.as(scopeOf(call, "storage.bucket.list"), (client) =>
        listBuckets(client, asked),
      );
      const withType = knowsTypes(call);
      answerJson(
        call,
        200,
        rows.map((row) => shown(row, withType)),
      );
    },

    async get(call: Call, id: string): Promise<void> {
      const row = await database.as(scopeOf(call, "storage.bucket.get"), (client) => findBucket(client, id));
      answerJson(call, 200, shown(row, false));
    },

    async update(call: Call, id: string): Promise<void> {
      const body = validated("body", CHANGE, await jsonOf(call)) as Limits;
      mustBeBucket(id);
      if (Object.keys(body).length === 0)
        throw failures.invalidForm("body must have required property 'public'");
      const { bytes, types } = limitsOf(body);
      await database.as(scopeOf(call, "storage.bucket.update"), (client) =>
        updateBucket(client, id, {
          ...(body.public === undefined ? {} : { public: body.public }),
          ...(bytes === undefined ? {} : { file_size_limit: bytes }),
          ...(types === undefined ? {} : { allowed_mime_types: types }),
        }),
      );
      answerJson(call, 200, { message: "Successfully updated" });
    },

    async remove(call: Call, id: string): Promise<void> {
      await jsonOf(call, { mayBeEmpty: true });
      const scope = scopeOf(call, "storage.bucket.delete");
      await removeBucket(database, scope, id);
      answerJson(call, 200, { message: "Successfully deleted" });
    },

    async empty(call: Call, id: string): Promise<void> {
      await jsonOf(call, { mayBeEmpty: true });
      if (!call.isAuthenticated) throw failures.forbidden("Access denied: JWT is not authenticated");
      if (call.role !== "service_role") throw failures.forbidden("Access denied: Invalid role");
      const scope = scopeOf(call, "storage.bucket.empty");
      const count = await database.as(scope, async (client) => {
        await findBucket(client, id);
        const { rowCount } = await client.query("select from storage.objects where bucket_id = $1 limit $2", [
          id,
          MOST_TO_EMPTY + 1,
        ]);
        return rowCount ?? 0;
      });
      if (count > MOST_TO_EMPTY)
        throw failures.invalidRequest("Unable to empty the bucket because it contains too many objects");
      await store.empty(scope, id);
      answerJson(call, 200, {
        message: "Empty bucket has been queued. Completion may take up to an hour.",
      });
    },
  };
}

/** Deletes a bucket that is empty; throws where it is not, or the caller may not. */
export async function removeBucket(
  database: Database,
  scope: Parameters<Database["as"]>[0],
  id: string,
): Promise<void> {
  await database.asService(scope, async (client) => {
    await findBucket(client, id);
    const { rowCount } = await client.query("select from storage.objects where bucket_id = $1 limit 1", [id]);
    if (rowCount) throw failures.bucketNotEmpty();
  });
  const gone = await database.as(scope, (client) =>
    client.query("delete from storage.buckets where id = $1", [id]),
  );
  if (!gone.rowCount) throw failures.noSuchBucket();
}

function shown({ type, ...row }: BucketRow, withType: boolean) {
  return { ...row, owner: row.owner ?? "", ...(withType ? { type } : {}) };
}

/** Old clients in Python stop at a field that they do not know. */
function knowsTypes(call: Call): boolean {
  const before = (text: string, client: RegExp, [major, minor, patch]: [number, number, number]) => {
    const match = client.exec(text);
    if (!match) return false;
    const [a, b, c] = match.slice(1).map(Number) as [number, number, number];
    return a < major || (a === major && (b < minor || (b === minor && c < patch)));
  };
  return !(
    before(headerOf(call, "x-client-info") ?? "", /supabase-py\/(\d+)\.(\d+)\.(\d+)/i, [2, 18, 0]) ||
    before(headerOf(call, "user-agent") ?? "", /supabase-py\/storage3 v(\d+)\.(\d+)\.(\d+)/i, [0, 12, 1])
  );
}
