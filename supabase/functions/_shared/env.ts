/** What the function reads from its environment; nothing else reads it. */
import { z } from "zod";

const keys = z
  .string()
  .transform((value, context): unknown => {
    try {
      return JSON.parse(value);
    } catch {
      context.addIssue({ code: "custom", message: 'is not JSON of the form {"default":"sb_publishable_…"}' });
      return z.NEVER;
    }
  })
  .pipe(z.record(z.string(), z.string()));

const blankIsAbsent = (value: unknown) => (value === "" ? undefined : value);

const environment = z.object({
  SUPABASE_URL: z.url({ protocol: /^https?$/ }),
  LAUNCHPAD_REST_URL: z.preprocess(blankIsAbsent, z.url({ protocol: /^https?$/ }).optional()),
  SUPABASE_PUBLISHABLE_KEYS: z.preprocess(blankIsAbsent, keys.optional()),
  SUPABASE_ANON_KEY: z.preprocess(blankIsAbsent, z.string().optional()),
});

export interface Config {
  /** Where PostgREST answers, without a slash at the end. */
  readonly restUrl: string;
  /** The project's public key, for callers who bring only their token. */
  readonly publishableKey: string | undefined;
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
  const {
    SUPABASE_URL,
    LAUNCHPAD_REST_URL,
    SUPABASE_PUBLISHABLE_KEYS: published,
    SUPABASE_ANON_KEY,
  } = parsed.data;
  return {
    restUrl: LAUNCHPAD_REST_URL?.replace(/\/+$/, "") ?? `${SUPABASE_URL.replace(/\/+$/, "")}/rest/v1`,
    publishableKey: published?.default ?? Object.values(published ?? {})[0] ?? SUPABASE_ANON_KEY,
  };
}
