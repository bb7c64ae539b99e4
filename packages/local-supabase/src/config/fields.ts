// The kinds of values that config.toml has, each with its default, as zod schemas.

import { z } from "zod";
import { parseGoDuration } from "./durations.ts";

// A value that came from env(NAME) is a text; these words are what the CLI takes for a boolean.
const TRUE = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE = new Set(["0", "f", "F", "FALSE", "false", "False", ""]);

/** A boolean. */
export const flag = (byDefault: boolean) =>
  z.preprocess(
    (value) =>
      typeof value === "string" ? (TRUE.has(value) ? true : FALSE.has(value) ? false : value) : value,
    z.boolean("must be true or false").default(byDefault),
  );

/** A whole number that is not negative. */
export const count = (byDefault: number, { most = Number.MAX_SAFE_INTEGER, least = 0 } = {}) =>
  z.preprocess(
    (value) => (typeof value === "string" && value.trim() !== "" ? Number(value) : value),
    z
      .int("must be a whole number")
      .min(least, `must be at least ${least}`)
      .max(most, `must be at most ${most}`)
      .default(byDefault),
  );

/** A text. */
export const text = (byDefault = "") => z.string("must be a text").default(byDefault);

/** A text that may be missing. */
export const optionalText = z.string("must be a text").optional();

/** A list of texts; one that came from env(NAME) is separated by commas. */
export const texts = (byDefault: readonly string[]) =>
  z.preprocess(
    (value) => (typeof value === "string" ? (value === "" ? [] : value.split(",")) : value),
    z.array(z.string("must be a list of texts"), "must be a list of texts").default([...byDefault]),
  );

/** A duration in Go's form, such as "1m30s"; in milliseconds. */
export const duration = (byDefault: string) =>
  z
    .string('must be a duration, such as "30s"')
    .default(byDefault)
    .transform((value, context) => {
      const ms = parseGoDuration(value);
      if (ms !== undefined) return ms;
      context.addIssue({ code: "custom", message: 'must be a duration, such as "30s"' });
      return z.NEVER;
    });

/** One of some words. */
export const oneOf = <const T extends readonly [string, ...string[]]>(words: T, byDefault: T[number]) =>
  z.enum(words, `must be one of ${words.map((word) => `"${word}"`).join(", ")}`).default(byDefault as never);

/** A table that may be missing: all its values are then the defaults. */
export const table = <T extends z.core.$ZodLooseShape>(shape: T) =>
  z
    .strictObject(shape, {
      error: (issue) => (issue.code === "invalid_type" ? "must be a table" : undefined),
    })
    .prefault({} as never);
