/** What the function reads from its environment; nothing else reads it. */
import { z } from "zod";

const blankIsAbsent = (value: unknown) => (value === "" ? undefined : value);

const environment = z.object({
  SUPABASE_URL: z.url({ protocol: /^https?$/ }),
  LAUNCHPAD_REST_URL: z.preprocess(blankIsAbsent, z.url({ protocol: /^https?$/ }).optional()),
});

export interface Config {
  /** Where PostgREST answers, without a slash at the end. */
  readonly restUrl: string;
  /** Whether that is PostgREST itself, reached without TLS: then connections are kept here, cheaper than fetch's. */
  readonly direct: boolean;
}

/**
 * Reads the configuration that hosted Supabase injects.
 * @param variables the environment
 * @throws Error naming each variable that is missing or wrong
 */
export function readConfig(variables: Readonly<Record<string, string | undefined>>): Config {
  const parsed = environment.safeParse(variables);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new Error(`The function cannot start: ${problems.join("; ")}`);
  }
  const { SUPABASE_URL, LAUNCHPAD_REST_URL } = parsed.data;
  return {
    restUrl: LAUNCHPAD_REST_URL?.replace(/\/+$/, "") ?? `${SUPABASE_URL.replace(/\/+$/, "")}/rest/v1`,
    direct: LAUNCHPAD_REST_URL?.startsWith("http:") === true,
  };
}
