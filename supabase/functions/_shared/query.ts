/** Reading query parameters. */
import { z } from "zod";
import { type Problems, problemsOf, safeText } from "./problems.ts";

/** Parameters of Supabase's own gateways and clients, not of ours. */
const platform = new Set(["apikey", "forceFunctionRegion"]);

export interface Query {
  readonly values: Readonly<Record<string, unknown>>;
  readonly problems: Problems;
}

/**
 * Reads and checks query parameters: unknown and repeated ones are named, whole numbers are read as such.
 * @param schema the route's parameters
 * @param search what the URL carries
 */
export function readQuery(schema: z.ZodObject, search: URLSearchParams): Query {
  if (search.size === 0 && Object.keys(schema.shape).length === 0) return { values: {}, problems: {} };
  const input: Record<string, unknown> = {};
  const problems: Problems = {};
  for (const [name, text] of search) {
    if (platform.has(name)) continue;
    const parameter = Object.hasOwn(schema.shape, name) ? schema.shape[name] : undefined;
    const field = safeText(name, 200);
    if (parameter === undefined) {
      Object.defineProperty(problems, field, {
        value: "Unknown parameter",
        enumerable: true,
        configurable: true,
      });
    } else if (Object.hasOwn(input, name)) {
      problems[field] = "Must be given once";
    } else {
      input[name] = wantsNumber(parameter) && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
    }
  }
  const parsed = schema.safeParse(input);
  return parsed.success
    ? { values: parsed.data, problems }
    : { values: {}, problems: { ...problemsOf(parsed.error.issues, input, "query"), ...problems } };
}

function wantsNumber(parameter: z.core.$ZodType): boolean {
  let inner = parameter;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault) inner = inner.unwrap();
  return inner instanceof z.ZodNumber;
}
