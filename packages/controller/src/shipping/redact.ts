// Takes the secrets of an agent out of what its replicas say, before anything is passed on.
import { secretSpellings } from "@agent-launchpad/agent-runtime";
import { SplitSecrets } from "./split-secrets.ts";

/** Shorter values would blot out ordinary words. */
const SHORTEST = 6;
const MASK = "***";

/**
 * Makes a function that replaces secrets in any JSON value: in texts, at every depth, in field names too.
 * @param secrets values that must not be seen; those under six characters are left alone
 */
export function createRedactor(secrets: readonly string[]): <T>(value: T) => T {
  const ordered = formsOf(secrets);
  const text = (value: string) => {
    let clean = value;
    for (const form of ordered) if (clean.includes(form)) clean = clean.replaceAll(form, MASK);
    return clean;
  };
  const walk = (value: unknown, depth: number): unknown => {
    if (typeof value === "string") return text(value);
    if (value === null || typeof value !== "object") return value;
    if (depth > 20) return MASK;
    if (Array.isArray(value)) return value.map((item) => walk(item, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([name, field]) => [text(name), walk(field, depth + 1)]),
    );
  };
  return <T>(value: T): T => (ordered.length === 0 ? value : (walk(value, 0) as T));
}

/**
 * Makes a function for consecutive lines of one output: masks the rest of a secret that the lines before began. Each line
 * goes through `createRedactor`'s function besides.
 */
export function createSplitRedactor(secrets: readonly string[]): (line: string) => string {
  const split = new SplitSecrets(formsOf(secrets), MASK);
  return (line) => split.next(line);
}

/** What to look for, longest first: a secret that contains another is masked whole. */
function formsOf(secrets: readonly string[]): string[] {
  const forms = new Set<string>();
  for (const secret of secrets) {
    if (secret.length < SHORTEST) continue;
    for (const form of secretSpellings(secret)) forms.add(form);
    // Line by line where it has several (a private key).
    for (const line of secret.split("\n")) if (line.trim().length >= 16) forms.add(line.trim());
  }
  return [...forms].sort((a, b) => b.length - a.length);
}
