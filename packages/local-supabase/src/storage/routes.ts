// Which request to Storage is answered by what.

import { answerJson, beginAnswer, type Call } from "./call.ts";
import type { Place } from "./store.ts";

/** What a route needs of its caller: a token that is good, one that may also be bad, or nothing. */
export type Needs = "token" | "any" | "nothing";

type Plain = (call: Call) => Promise<void>;
type OfBucket = (call: Call, bucket: string) => Promise<void>;
type OfObject = (call: Call, place: Place) => Promise<void>;

export interface Answers {
  buckets: Record<"create" | "list", Plain> & Record<"get" | "update" | "remove" | "empty", OfBucket>;
  objects: {
    upload(call: Call, place: Place, isUpdate: boolean): Promise<void>;
    info(call: Call, place: Place, how: { isPublic: boolean; isHead: boolean }): Promise<void>;
  } & Record<"copy" | "move", Plain> &
    Record<"list" | "listV2" | "removeMany" | "signMany", OfBucket> &
    Record<"uploadSigned" | "get" | "getPublic" | "getSigned" | "remove" | "sign" | "signUpload", OfObject>;
  /** The protocol of resumable uploads; `isSigned`: by a signed link. */
  resumable(call: Call, isSigned: boolean): Promise<void>;
  isHealthy(): Promise<boolean>;
}

interface Row {
  method: string;
  pattern: readonly string[];
  needs: Needs;
  answer: (call: Call, place: Place) => Promise<void> | void;
}

export type Routes = readonly Row[];

export interface Route {
  needs: Needs;
  answer: (call: Call) => Promise<void> | void;
}

/** Hosted's, whose answers these are. */
const VERSION = "1.66.0";

/** The table: the first row that fits answers, so names of routes stand above names of buckets. */
export function routesOf({ buckets, objects, resumable, isHealthy }: Answers): Routes {
  const row = (method: string, path: string, needs: Needs, answer: Row["answer"]): Row => ({
    method,
    pattern: path.slice(1).split("/"),
    needs,
    answer,
  });
  const ofBucket =
    (answer: OfBucket) =>
    (call: Call, { bucket }: Place) =>
      answer(call, bucket);
  const info = (isPublic: boolean, isHead: boolean) => (call: Call, place: Place) =>
    objects.info(call, place, { isPublic, isHead });
  const signed = (call: Call) => resumable(call, true);
  const own = (call: Call) => resumable(call, false);
  return [
    row("GET", "/status", "nothing", empty),
    row("GET", "/version", "nothing", version),
    row("GET", "/health", "token", async (call) => answerJson(call, 200, { healthy: await isHealthy() })),

    row("POST", "/bucket", "token", buckets.create),
    row("GET", "/bucket", "token", buckets.list),
    row("GET", "/bucket/:bucket", "token", ofBucket(buckets.get)),
    row("PUT", "/bucket/:bucket", "token", ofBucket(buckets.update)),
    row("DELETE", "/bucket/:bucket", "token", ofBucket(buckets.remove)),
    row("POST", "/bucket/:bucket/empty", "token", ofBucket(buckets.empty)),

    row("OPTIONS", "/upload/resumable", "nothing", own),
    row("OPTIONS", "/upload/resumable/sign", "nothing", signed),
    row("OPTIONS", "/upload/resumable/sign/*", "nothing", signed),
    row("OPTIONS", "/upload/resumable/*", "nothing", own),
    row("POST", "/upload/resumable/sign", "nothing", signed),
    row("HEAD", "/upload/resumable/sign/*", "nothing", signed),
    row("PATCH", "/upload/resumable/sign/*", "nothing", signed),
    row("DELETE", "/upload/resumable/sign/*", "nothing", signed),
    row("POST", "/upload/resumable", "token", own),
    row("HEAD", "/upload/resumable/*", "token", own),
    row("PATCH", "/upload/resumable/*", "token", own),
    row("DELETE", "/upload/resumable/*", "token", own),

    row("HEAD", "/object/public/:bucket/*", "nothing", info(true, true)),
    row("GET", "/object/public/:bucket/*", "nothing", objects.getPublic),
    row("GET", "/object/sign/:bucket/*", "nothing", objects.getSigned),
    row("GET", "/object/info/public/:bucket/*", "nothing", info(true, false)),
    row("GET", "/object/info/authenticated/:bucket/*", "token", info(false, false)),
    row("GET", "/object/info/:bucket/*", "any", info(false, false)),
    row("HEAD", "/object/authenticated/:bucket/*", "token", info(false, true)),
    row("GET", "/object/authenticated/:bucket/*", "token", objects.get),
    row("HEAD", "/object/info/:bucket/*", "any", info(false, true)),
    row("HEAD", "/object/:bucket/*", "any", info(false, true)),
    row("GET", "/object/:bucket/*", "any", objects.get),

    row("POST", "/object/list/:bucket", "token", ofBucket(objects.list)),
    row("POST", "/object/list-v2/:bucket", "token", ofBucket(objects.listV2)),
    row("POST", "/object/copy", "token", objects.copy),
    row("POST", "/object/move", "token", objects.move),
    row("POST", "/object/upload/sign/:bucket/*", "token", objects.signUpload),
    row("POST", "/object/sign/:bucket/*", "token", objects.sign),
    row("POST", "/object/sign/:bucket", "token", ofBucket(objects.signMany)),
    row("POST", "/object/:bucket/*", "token", (call, place) => objects.upload(call, place, false)),
    row("PUT", "/object/upload/sign/:bucket/*", "nothing", objects.uploadSigned),
    row("PUT", "/object/:bucket/*", "token", (call, place) => objects.upload(call, place, true)),
    row("DELETE", "/object/:bucket", "token", ofBucket(objects.removeMany)),
    row("DELETE", "/object/:bucket/*", "token", objects.remove),
  ];
}

/**
 * The route of a request; undefined where there is none. HEAD is answered as GET where it has no row. Pure.
 * @param parts of the path below `/storage/v1`, decoded
 */
export function routeOf(routes: Routes, method: string, parts: readonly string[]): Route | undefined {
  // A slash at the end means the same, where no name ends with it.
  const path = parts.at(-1) === "" && parts.length <= 3 ? parts.slice(0, -1) : parts;
  for (const wanted of method === "HEAD" ? ["HEAD", "GET"] : [method]) {
    for (const { pattern, needs, answer, ...row } of routes) {
      const place = row.method === wanted ? placeOf(pattern, path) : undefined;
      if (place) return { needs, answer: (call) => answer(call, place) };
    }
  }
  return undefined;
}

/** The bucket and name that a path names; undefined where it does not fit. */
function placeOf(pattern: readonly string[], parts: readonly string[]): Place | undefined {
  const isOpen = pattern.at(-1) === "*";
  if (isOpen ? parts.length < pattern.length : parts.length !== pattern.length) return undefined;
  const place: Place = { bucket: "", name: "" };
  for (const [i, part] of pattern.entries()) {
    if (part === ":bucket") place.bucket = parts[i]!;
    else if (part === "*") place.name = parts.slice(i).join("/");
    else if (part !== parts[i]) return undefined;
  }
  return place;
}

function empty(call: Call): void {
  beginAnswer(call, 200, { "content-length": 0 });
  call.response.end();
}

function version(call: Call): void {
  beginAnswer(call, 200, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": VERSION.length,
  });
  call.response.end(call.method === "HEAD" ? undefined : VERSION);
}
