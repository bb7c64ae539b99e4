// Secrets that a text itself names: in URLs, in values whose names say that they are secrets, in commands. What an agent's tools
// are sent and answer holds more than its own keys. In time of the text's length, whatever the text.
import { inCommands, isSecretOption } from "./commands.ts";
import { besideLabels } from "./labels.ts";
import { inLines } from "./lines.ts";
import { BLANK, isSecret, secretsIn } from "./names.ts";
import { inObjects, inPairs, inQuoted, inUrls } from "./pairs.ts";

/** JSON within JSON within JSON …: deeper it is looked through as a text. */
const DEEPEST = 8;

/**
 * A text without the secrets that it names.
 * @example withoutNamedSecrets("postgres://me:word@db.example/x?token=t") // "postgres://[secret]@db.example/x?token=[secret]"
 */
export function withoutNamedSecrets(text: string, depth = 0): string {
  if (/^\w*$/.test(text)) return text; // most parts of JSON; a single word names nothing
  const parsed = depth < DEEPEST ? asJson(text) : undefined;
  if (parsed === undefined) {
    return inPairs(inObjects(inQuoted(besideLabels(inLines(inCommands(inUrls(text)))))));
  }
  const clean = JSON.stringify(cleaned(parsed.value, depth + 1));
  // What named no secret stays as it was written.
  return clean === parsed.written ? text : clean;
}

function asJson(text: string): { value: unknown; written: string } | undefined {
  if (!/^\s*["[{]/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return { value, written: JSON.stringify(value) };
  } catch {
    return undefined; // cut, several, or so deep that it can be parsed but not written
  }
}

function cleaned(value: unknown, depth: number): unknown {
  if (typeof value === "string") return withoutNamedSecrets(value, depth);
  if (typeof value !== "object" || value === null) return value;
  if (depth > 40) return "…";
  return withoutSecretParts(value, (inner) => cleaned(inner, depth + 1));
}

/**
 * An object or a list without the parts that are secrets by a name: their own, one beside them, the option before them.
 * @param clean what becomes of the other parts
 * @param rename what becomes of names
 */
export function withoutSecretParts(
  value: object,
  clean: (part: unknown) => unknown,
  rename = (name: string) => name,
): unknown {
  if (!Array.isArray(value)) {
    const isNamed = secretsIn(value);
    return Object.fromEntries(
      Object.entries(value).map(([name, part]) => [rename(name), isNamed(name, part) ? BLANK : clean(part)]),
    );
  }
  if (value.every(isEntry)) {
    return value.map(([name, part]) => [clean(name), isSecret(name, part) ? BLANK : clean(part)]);
  }
  return value.map((part, at) => {
    const before: unknown = value[at - 1];
    if (typeof before !== "string" || typeof part !== "string") return clean(part);
    const isHeader = at % 2 === 1 && value.length % 2 === 0 && RAW_HEADER.test(before);
    return isHeader || isSecretOption(before, part) ? BLANK : clean(part);
  });
}

/** Names in a flat list of headers, as Node has them in `rawHeaders`. */
const RAW_HEADER = /^((proxy-)?authorization|(set-)?cookie|x-api-key)$/i;

/** `["authorization", "Bearer …"]`, as headers and maps are listed. */
const isEntry = (item: unknown): item is [string, unknown] =>
  Array.isArray(item) && item.length === 2 && typeof item[0] === "string";
