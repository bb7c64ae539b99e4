/** Names and schemas of tools in the form that every provider accepts. Pure. */

/**
 * A tool's name as all providers take it: letters, digits, `_` and `-`, at most 60, and (for Google) no digit or `-` first.
 * @param name the name its owner gave
 */
export function toolName(name: string): string {
  const plain = name.replaceAll(/[^A-Za-z0-9_-]+/g, "_") || "tool";
  return (/^[A-Za-z_]/.test(plain) ? plain : `_${plain}`).slice(0, 60);
}

/**
 * A JSON Schema with what providers ask for and the standard leaves out: `properties` of an object (OpenAI) and `items` of an
 * array (OpenAI, Google), at every depth. Nothing else changes, and what was valid before stays valid.
 * @param schema a schema of type object
 */
export function completeSchema(schema: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const complete = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, NESTED[key]?.(value) ?? value]),
  );
  const types = [schema.type].flat();
  if (types.includes("object")) complete.properties ??= {};
  if (types.includes("array")) complete.items ??= {};
  return complete;
}

const one = (value: unknown): unknown => (isSchema(value) ? completeSchema(value) : value);
const list = (value: unknown): unknown => (Array.isArray(value) ? value.map(one) : one(value));
const named = (value: unknown): unknown =>
  isSchema(value)
    ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, one(inner)]))
    : value;

/** The keywords that hold further schemas, by how they hold them. */
const NESTED: Readonly<Record<string, (value: unknown) => unknown>> = {
  properties: named,
  $defs: named,
  definitions: named,
  items: list,
  prefixItems: list,
  anyOf: list,
  oneOf: list,
  allOf: list,
  additionalProperties: one,
  not: one,
};

const isSchema = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
