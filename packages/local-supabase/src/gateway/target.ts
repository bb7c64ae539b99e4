/**
 * The one reading of a request's target. Guards, routes and services all get what is parsed here: a path or query that
 * several programs could read in several ways is refused instead of passed on.
 */

/** A path and query in their canonical spelling: decoding and encoding them again changes nothing. */
export interface Target {
  /** As it is passed on; begins with `/`. */
  path: string;
  /** Empty, or `?` and what follows. */
  search: string;
  /** Whether a name in the path has a slash, a backslash, a control character or an escape in it. */
  odd: boolean;
}

/** Why a request is refused before it is routed: what is wrong with which part of it, and what to do. */
export interface Fault {
  /** 400 unless another status says it better. */
  status?: number;
  /** What Auth calls it, where the path is Auth's. */
  code?: string;
  field: string;
  message: string;
  cure: string;
}

/** Needs no decoding: letters, digits and marks that mean the same escaped and not. */
const PLAIN = /^\/[\w~!$&'()*,:=@/-][\w~.!$&'()*,:=@/-]*(?:\?[\w~.!$&'()*+,:=@/-]*)?$/;
/** One segment or one part of a query, with every other character escaped. */
const RAW_SEGMENT = /^[\w~.!$&'()*+,;:=@%-]*$/;
const RAW_QUERY = /^[\w~.!$&'()*+,;:=@%/?[\]{}|"<>^`\\-]*$/;
/** An escaped letter, digit, `-`, `.` or `_`: no client has a reason to write it. */
const ESCAPED_PLAIN = /%(?:2[DdEe]|3\d|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])/;
/** In a decoded name. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const ODD = /[/\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}/;

/**
 * Reads a request target as Node gives it.
 * @returns the target in its canonical spelling, or why it is refused
 */
export function readTarget(raw: string): Target | Fault {
  if (PLAIN.test(raw) && !raw.includes("//") && !raw.includes("/.") && noLoneName(raw)) return split(raw);
  if (!raw.startsWith("/")) return fault("path", "The path must begin with /", "Send an origin-form target.");
  const { path, search } = split(escapeBytes(raw));
  const canonical = readPath(path);
  if ("cure" in canonical) return canonical;
  const canonicalSearch = readSearch(search);
  if (typeof canonicalSearch !== "string") return canonicalSearch;
  return { ...canonical, search: canonicalSearch };
}

/** The fault of an odd path where a service may read names otherwise than a guard. */
export const ODD_NAME: Fault = {
  field: "path",
  message: "A name in the path has a slash, a backslash, a control character or a second encoding",
  cure: "Use names without these characters, and percent-encode once.",
};

/** The parameters of a canonical query. */
export const paramsOf = ({ search }: Pick<Target, "search">): URLSearchParams => new URLSearchParams(search);

function split(target: string): Target {
  const query = target.indexOf("?");
  return query < 0
    ? { path: target, search: "", odd: false }
    : {
        path: target.slice(0, query),
        search: query === target.length - 1 ? "" : target.slice(query),
        odd: false,
      };
}

/** Whether each parameter has a `=`: PostgREST forgets those without, other programs read them as empty. */
function noLoneName(raw: string): boolean {
  const query = raw.indexOf("?");
  if (query < 0 || query === raw.length - 1) return true;
  return raw
    .slice(query + 1)
    .split("&")
    .every((pair) => pair.indexOf("=") > 0);
}

function readPath(path: string): Omit<Target, "search"> | Fault {
  const segments = path.slice(1).split("/");
  let odd = false;
  const canonical: string[] = [];
  for (const [i, segment] of segments.entries()) {
    if (segment === "" && i < segments.length - 1)
      return fault("path", "The path has an empty segment", "Write one / between segments.");
    if (!RAW_SEGMENT.test(segment))
      return fault("path", "The path has a character that must be escaped", "Percent-encode each segment.");
    if (ESCAPED_PLAIN.test(segment))
      return fault(
        "path",
        "The path escapes a plain character",
        "Send letters, digits, -, . and _ as they are.",
      );
    if (segment === "." || segment === "..")
      return fault("path", "The path has a dot segment", "Send the path that the dots lead to.");
    const name = decode(segment);
    if (name === undefined)
      return fault(
        "path",
        "The path is not valid percent-encoded UTF-8",
        "Encode it as UTF-8, each byte as %XX.",
      );
    odd ||= ODD.test(name);
    canonical.push(encodeSegment(name));
  }
  return { path: `/${canonical.join("/")}`, odd };
}

function readSearch(search: string): string | Fault {
  if (search === "") return "";
  if (!RAW_QUERY.test(search.slice(1)))
    return fault(
      "query",
      "The query has a character that must be escaped",
      "Percent-encode names and values.",
    );
  const pairs: string[] = [];
  for (const pair of search.slice(1).split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const [name, value] = [
      equals < 0 ? pair : pair.slice(0, equals),
      equals < 0 ? "" : pair.slice(equals + 1),
    ].map((part) => decode(part.replaceAll("+", " ")));
    if (name === undefined || value === undefined)
      return fault(
        "query",
        "The query is not valid percent-encoded UTF-8",
        "Encode it as UTF-8, each byte as %XX.",
      );
    if (name.includes("\0") || value.includes("\0"))
      return fault("query", "The query has a NUL character", "Remove it: text cannot hold it.");
    pairs.push(`${encodePart(name)}=${encodePart(value)}`);
  }
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** Bytes above ASCII, which Node gives as one character each, as clients mean them: escaped. */
function escapeBytes(raw: string): string {
  return raw.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Marks that a segment may hold as they are stay, so that most paths stay as they came. */
const encodeSegment = (name: string) =>
  encodeURIComponent(name).replace(/%(?:24|26|2B|2C|3A|3D|40)/g, decodeURIComponent);

/** The marks of PostgREST's filters stay readable in its log. */
const encodePart = (text: string) =>
  encodeURIComponent(text).replace(/%(?:2C|3A|40|2F)/g, decodeURIComponent);

function fault(field: string, message: string, cure: string): Fault {
  return { field, message, cure };
}
