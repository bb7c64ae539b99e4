/**
 * Judges a tool's arguments by its schema. The schema is a user's and the function is everyone's: patterns run in an engine
 * of linear time, and the judgement ends after a number of steps.
 */
import { RE2JS } from "re2js";
import { z } from "zod";

/** Parts of the schema times values. Many alternatives for many values would take seconds; honest ones stay far below. */
const MAX_STEPS = 500_000;
/** Of all arguments together, as JSON. A request's body is at most a quarter of it. */
export const MAX_CHARACTERS = 256 * 1024;
/** Stands in a schema in the place of `pattern`; zod hands keywords that it does not know to the registry. */
const JUDGED = "x-launchpad-judged";

export type Judgement =
  | { readonly arguments: Readonly<Record<string, unknown>> }
  | { readonly problems: readonly string[] };

/**
 * @param inputSchema the tool's JSON Schema
 * @param given the arguments, defaults of the configuration included
 * @throws Error when the schema cannot be used, by its keywords or its patterns
 */
export function judgeArguments(
  inputSchema: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
): Judgement {
  if (JSON.stringify(given).length > MAX_CHARACTERS) {
    return { problems: [`arguments: Must be at most ${MAX_CHARACTERS} characters of JSON`] };
  }
  const steps = { left: MAX_STEPS };
  const schema = z.fromJSONSchema(marked(inputSchema) as Parameters<typeof z.fromJSONSchema>[0], {
    registry: registryOf(steps),
  });
  try {
    const parsed = schema.safeParse(given);
    if (parsed.success) return { arguments: parsed.data as Record<string, unknown> };
    return {
      problems: parsed.error.issues.map(
        ({ path, message }) => `${path.join(".") || "arguments"}: ${message}`,
      ),
    };
  } catch (error) {
    if (steps.left >= 0) throw error;
    return { problems: ["arguments: Too many values for this tool's input_schema; send fewer"] };
  }
}

type Schema = Record<string, unknown>;

const isSchema = (value: unknown): value is Schema =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const one = (value: unknown): unknown => (isSchema(value) ? marked(value) : value);
const oneOrMore = (value: unknown): unknown => (Array.isArray(value) ? value.map(one) : one(value));
const named = (value: unknown): unknown =>
  isSchema(value)
    ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, one(inner)]))
    : value;

/** The keywords that hold further schemas, by how they hold them. What others hold zod does not read as schemas. */
const NESTED = new Map([
  ...["properties", "$defs", "definitions"].map((keyword) => [keyword, named] as const),
  ...["anyOf", "oneOf", "allOf", "prefixItems", "items"].map((keyword) => [keyword, oneOrMore] as const),
  ...["additionalProperties", "additionalItems", "propertyNames", "contains", "not"].map(
    (keyword) => [keyword, one] as const,
  ),
]);

/** The schema with its patterns where zod does not run them, and a mark on every part of it. */
function marked(schema: Schema): Schema {
  if ("patternProperties" in schema) throw new Error("patternProperties is not supported");
  const { pattern, description: _, ...rest } = schema;
  const copy: Schema = {};
  for (const [keyword, value] of Object.entries(rest)) {
    copy[keyword] = NESTED.get(keyword)?.(value) ?? value;
  }
  // What stands beside a reference is ignored; a mark there would be the target's.
  if (!("$ref" in schema)) copy[JUDGED] = typeof pattern === "string" ? pattern : "";
  return copy;
}

/** zod calls it with each part that it has made, those behind references too, which are made while a value is judged. */
function registryOf(steps: { left: number }): z.core.$ZodRegistry<Schema> {
  const registry = z.registry<Schema>();
  registry.add = (part: z.core.$ZodType, ...[meta]: unknown[]) => {
    const source = (meta as Schema)[JUDGED];
    const pattern = source ? RE2JS.compile(RE2JS.translateRegExp(String(source))) : undefined;
    const run = part._zod.run;
    part._zod.run = (payload, context) => {
      steps.left -= 1;
      if (steps.left < 0) throw new Error("too many steps");
      const judged = run(payload, context);
      if (!pattern || judged instanceof Promise || judged.issues.length > 0) return judged;
      if (typeof judged.value === "string" && !pattern.matcher(judged.value).find()) {
        judged.issues.push({
          code: "invalid_format",
          format: "regex",
          origin: "string",
          pattern: String(source),
          input: judged.value,
          message: `Must match the pattern ${String(source)}`,
          inst: part,
        } as z.core.$ZodRawIssue);
      }
      return judged;
    };
    return registry;
  };
  return registry;
}
