/**
 * How many columns a query may name and how deep its filters may nest. PostgREST's work grows faster than a query's length, and is
 * done before the database could refuse it: a thousand columns of one URL took seconds, also for callers without a user.
 */
import type { Fault } from "../target.ts";

/** Brackets within each other: embedded tables, `and` and `or`. */
const DEEPEST = 50;
/** What a request may name in `select`, `order` and `columns` together. */
const MOST_NAMES = 200;

/** Why PostgREST is not asked this; takes the canonical path and query that it would get. */
export function shapeFault(target: string): Fault | undefined {
  const [, search = ""] = target.split("?", 2);
  let names = 0;
  for (const [name, value] of new URLSearchParams(search)) {
    if (depthOf(value) > DEEPEST)
      return {
        field: name.slice(0, 100),
        message: `Brackets are nested more than ${DEEPEST} levels deep`,
        cure: "Send a flatter query.",
      };
    if (/^(?:.*\.)?(?:select|order|columns)$/.test(name)) names += value.split(",").length;
    if (names > MOST_NAMES)
      return {
        field: name.slice(0, 100),
        message: `The query names more than ${MOST_NAMES} columns`,
        cure: "Ask for fewer columns at once, or for all of them with *.",
      };
  }
  return undefined;
}

function depthOf(value: string): number {
  let depth = 0;
  let deepest = 0;
  for (const mark of value)
    if (mark === "(") deepest = Math.max(deepest, ++depth);
    else if (mark === ")") depth -= 1;
  return deepest;
}
