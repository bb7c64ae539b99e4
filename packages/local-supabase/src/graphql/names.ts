/** How pg_graphql names things (its documentation, "Inflection"). Pure. */

/** Names that GraphQL can carry; two underscores in front are its own. */
export const isName = (name: string): boolean => /^(?!__)[_A-Za-z][_0-9A-Za-z]*$/.test(name);

/** The name of a type: `agent_logs` → `AgentLogs`, or as it is where names are not inflected. */
export function typeName(name: string, inflect: boolean): string {
  if (!inflect) return name;
  return name
    .replace(/(?:^|[^A-Za-z0-9])([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase())
    .replaceAll("_", "");
}

/** The name of a field: `user_id` → `userId`. */
export function fieldName(name: string, inflect: boolean): string {
  return inflect ? lowerFirst(typeName(name, true)) : name;
}

export const lowerFirst = (name: string): string => name.slice(0, 1).toLowerCase() + name.slice(1);

/**
 * The name of the field that follows a foreign key to one row: the column without `_id` (`Id` where names are not
 * inflected), else the other table's name.
 */
export function toOneName(columns: readonly string[], otherType: string, inflect: boolean): string {
  const [column] = columns;
  const suffix = inflect ? "_id" : "Id";
  if (columns.length === 1 && column !== undefined && column.endsWith(suffix) && column !== suffix) {
    return lowerFirst(typeName(column.slice(0, -suffix.length), inflect));
  }
  return lowerFirst(otherType);
}

/** What the comment of a table, schema or constraint sets by `@graphql({…})`; {} where it sets nothing that can be read. */
export function directive(comment: string | null): Record<string, unknown> {
  const text = /@graphql\((\{.*\})\)/s.exec(comment ?? "")?.[1];
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
