import pg from "pg";
import { isAway } from "./database.ts";

/**
 * Evaluates SQL expressions of one type in one statement. Where that fails each is evaluated alone; one that fails alone
 * is null. Throws when the database is away.
 */
export async function askEach(
  pool: pg.Pool,
  expressions: string[],
  type: "boolean" | "text",
): Promise<(boolean | string | null)[]> {
  if (expressions.length === 0) return [];
  try {
    const { rows } = await pool.query<{ answers: (boolean | string | null)[] }>(
      `select array[${expressions.join(",\n")}]::${type}[] as answers`,
    );
    return rows[0]?.answers ?? [];
  } catch (error) {
    if (isAway(error)) throw error;
    if (expressions.length === 1) return [null];
    const answers: (boolean | string | null)[] = [];
    for (const expression of expressions) answers.push(...(await askEach(pool, [expression], type)));
    return answers;
  }
}

/** A literal of any type, for a cast. */
export const quote = (text: string): string => pg.escapeLiteral(text);
