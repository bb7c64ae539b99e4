/** What names of buckets and objects, sizes and types may be. Pure. */
import { failures } from "./errors.ts";

/** Characters that S3 allows in keys, of ASCII. */
const KEY = /^[A-Za-z0-9_/!.*'() &$=@;:+,?-]+$/;
const BUCKET = /^[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}$/;
/** Postgres could not index much longer ones; S3 has the same limit. */
const LONGEST_KEY = 1024;
/** Hosted keeps these for buckets of Iceberg. */
const RESERVED = "--iceberg";

/** Throws where an object cannot have this name. A name is a key and never a path: dots in it lead nowhere. */
export function mustBeKey(key: string): void {
  if (!KEY.test(key) || key.length > LONGEST_KEY) throw failures.invalidKey(key);
}

/** Throws where a bucket cannot be called so. */
export function mustBeBucket(name: string): void {
  if (!BUCKET.test(name)) throw failures.invalidBucketName();
}

/** As above, for a bucket that is to be made. */
export function mustBeNewBucket(name: string): void {
  if (name.trim() !== name || name.endsWith(RESERVED)) throw failures.invalidBucketName();
  mustBeBucket(name);
}

const UNITS: Record<string, number> = { gb: 1e9, mb: 1e6, kb: 1000, b: 1 };

/** Bytes of `20MB` and the like; throws for another text. */
export function bytesOf(text: string): number {
  const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(gb|mb|kb|b)$/i.exec(text) ?? [];
  const factor = UNITS[unit.toLowerCase()];
  if (factor === undefined) throw failures.invalidFileSize();
  return Math.round(Number(Number(amount).toPrecision(3)) * factor);
}

/** Whether an object only marks a folder: it is empty, whatever the bucket allows. */
export const isFolderMark = (name: string): boolean => name.endsWith(".emptyFolderPlaceholder");

const TYPE = /^(?:[a-zA-Z0-9\-+.]+\/[a-zA-Z0-9\-+.]+(?:;\s*charset=[a-zA-Z0-9-]+)?|.*\*)$/;

/** Throws where a bucket's list of types has something else in it. */
export function mustBeTypes(types: readonly string[]): void {
  for (const type of types) if (type.length > 1000 || !TYPE.test(type)) throw failures.invalidMimeType(type);
}

/** Throws where a bucket does not take files of this type. `image/*` allows all of its kind; parameters count. */
export function mustBeAllowed(type: string, allowed: readonly string[] | null): void {
  if (!allowed || allowed.length === 0) return;
  const [kind, ...rest] = type.split("/");
  const kept = rest[0];
  if (kept === undefined) throw failures.invalidMimeType(type);
  for (const one of allowed) {
    const [allowedKind, allowedRest] = one.split("/");
    if (allowedKind === kind && (allowedRest === "*" || allowedRest === kept)) return;
  }
  throw failures.invalidMimeType(type);
}

const SIMPLE_RULES = new Set(
  "all noindex nofollow none nosnippet indexifembedded notranslate noimageindex".split(" "),
);

/** Throws where a value of X-Robots-Tag says nothing that search engines know. */
export function mustBeRobots(value: string): void {
  for (const rule of value.split(/,(?![^:]*GMT)/).map((part) => part.trim())) {
    if (rule === "") throw failures.invalidRobots("X-Robots-Tag header contains empty rule");
    if (SIMPLE_RULES.has(rule)) continue;
    const [, name = "", argument = ""] = /^([\w-]+):\s*(.*)$/.exec(rule) ?? [];
    if (argument === "") throw failures.invalidRobots(`Invalid X-Robots-Tag rule: "${rule}"`);
    const fits = {
      "max-snippet": /^-?\d+$/.test(argument) && Number(argument) >= -1,
      "max-video-preview": /^-?\d+$/.test(argument) && Number(argument) >= -1,
      "max-image-preview": ["none", "standard", "large"].includes(argument),
      unavailable_after: !Number.isNaN(Date.parse(argument)),
    }[name];
    if (fits === undefined)
      mustBeRobots(argument); // of one robot: `googlebot: noindex`
    else if (!fits) throw failures.invalidRobots(`X-Robots-Tag "${name}" value is not valid: "${argument}"`);
  }
}
