/** Field → problem, from zod's issues. */
import type { z } from "zod";

export type Problems = Record<string, string>;

const MAX_PROBLEMS = 100;
const MAX_FIELD = 200;

/**
 * Names every wrong field of an input.
 * @param issues what zod found
 * @param input what was parsed, to tell a missing field from a wrong one
 * @param whole the name of the input itself, for a problem of the whole
 */
export function problemsOf(issues: readonly z.core.$ZodIssue[], input: unknown, whole: string): Problems {
  const problems: Problems = {};
  let left = MAX_PROBLEMS;
  const add = (path: readonly PropertyKey[], problem: string) => {
    const field = safeText(path.map(String).join(".") || whole, MAX_FIELD);
    if (Object.hasOwn(problems, field)) return;
    if (left-- > 0) Object.defineProperty(problems, field, { value: problem, enumerable: true });
  };
  for (const issue of issues) {
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) add([...issue.path, key], "Unknown field");
    } else if (issue.code === "invalid_key") {
      add(issue.path, issue.issues[0]?.message ?? issue.message);
    } else {
      add(issue.path, valueAt(input, issue.path) === undefined ? "Required" : issue.message);
    }
    if (left <= 0) break;
  }
  return problems;
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/**
 * Text from a client made fit to stand in a message and in jsonb: bounded, without control characters.
 * @param value anything a client sent
 * @param max the largest length to keep
 */
export function safeText(value: string, max: number): string {
  const clean = value
    .slice(0, max)
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, "\uFFFD");
  return value.length > max ? `${clean}…` : clean;
}
