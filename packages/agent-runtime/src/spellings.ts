// How a secret can be spelled in a log: on its own, or as JSON, a URL, a header, a page or a dump writes it. For whoever takes
// secrets out of texts: the runtime's own log, and the controller of what replicas print.
import { inspect } from "node:util";

/** Pieces shorter than this would blot out ordinary words. */
const SHORTEST_PIECE = 10;
/** A larger value (a chain of certificates) is looked for as it is and in JSON: a dozen copies of each would cost megabytes. */
const LARGE = 4096;

/**
 * Every spelling of a secret that libraries are known to print, longest first, the secret itself among them.
 * @example secretSpellings("a/b c d e f").includes("a%2Fb%20c%20d%20e%20f") // true
 */
export function secretSpellings(secret: string): string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  if (secret.length > LARGE) return [...new Set([json, secret])];
  const bytes = Buffer.from(secret);
  const text = secret.toWellFormed(); // a URL cannot hold a lone surrogate
  const url = [
    encodeURIComponent(text),
    percentEncoded(text),
    encodeURI(text),
    new URLSearchParams([["", text]]).toString().slice(1),
  ];
  const found = [
    secret,
    json,
    // JSON within JSON: a log line in a log line.
    JSON.stringify(json).slice(1, -1),
    inspect(secret).slice(1, -1),
    inspect(secret, { compact: true }).slice(1, -1).replaceAll("\\'", "'"),
    unicodeEscaped(json),
    ...url,
    ...url.map((form) => form.replaceAll("%20", "+")),
    ...url.map((form) => form.replaceAll(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())),
    htmlEscaped(secret),
    htmlEscaped(secret).replaceAll("&#39;", "&#x27;"),
    ...pieces(bytes.toString("hex"), bytes.toString("hex").toUpperCase()),
    ...pieces(...base64Pieces(bytes)),
  ];
  return [...new Set(found)].sort((a, b) => b.length - a.length);
}

/** As encodeURIComponent, and the few characters that it leaves but other libraries do not. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function unicodeEscaped(json: string): string {
  return json.replaceAll(
    /[^\x20-\x7e]|[<>&']/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function htmlEscaped(text: string): string {
  const names: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replaceAll(/[&<>"']/g, (c) => names[c] ?? c);
}

/**
 * What stands in a Base64 text wherever the bytes begin in it (`user:secret` shifts them): for each of the three places the
 * characters that the bytes alone decide, and these with the last one where nothing or a line's end follows. In both alphabets.
 */
function base64Pieces(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .replaceAll("=", "");
    const from = Math.ceil((shift * 8) / 6);
    const whole = text.slice(from, Math.floor(((shift + bytes.length) * 8) / 6));
    const line = Buffer.concat([Buffer.alloc(shift), bytes, Buffer.from("\n")]).toString("base64");
    const ends = [text.slice(from), line.slice(from, Math.ceil(((shift + bytes.length) * 8) / 6))];
    return [...ends, whole].flatMap((form) => [form, form.replaceAll("+", "-").replaceAll("/", "_")]);
  });
}

const pieces = (...texts: string[]): string[] => texts.filter((text) => text.length >= SHORTEST_PIECE);
