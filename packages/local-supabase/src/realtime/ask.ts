// Many SQL expressions in one statement.
import pg from "pg";
import { isAway } from "./database.ts";

/** The code of a statement that ran into statement_timeout. */
const CANCELED = "57014";

/**
 * Evaluates SQL expressions of one type in one statement. Where that fails each is evaluated alone; one that fails alone is
 * null. `"late"` when it takes longer than `limitMs` or than the pool's statements may: nothing is tried again then. Throws
 * when the database is not reachable.
 */
export async function askEach(
  pool: pg.Pool,
  expressions: string[],
  type: "boolean" | "text",
  limitMs = Number.POSITIVE_INFINITY,
): Promise<(boolean | string | null)[] | "late"> {
  if (expressions.length === 0) return [];
  const begun = performance.now();
  try {
    const { rows } = await pool.query<{ answers: (boolean | string | null)[] }>(
      `select array[${expressions.join(",\n")}]::${type}[] as answers`,
    );
    return rows[0]?.answers ?? [];
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === CANCELED) return "late";
    if (isAway(error)) throw error;
    if (expressions.length === 1) return [null];
    const answers: (boolean | string | null)[] = [];
    for (const expression of expressions) {
      const answer = await askEach(pool, [expression], type);
      if (answer === "late" || performance.now() - begun > limitMs) return "late";
      answers.push(...answer);
    }
    return answers;
  }
}

/** A literal of any type, for a cast. */
export const quote = (text: string): string => pg.escapeLiteral(text);
