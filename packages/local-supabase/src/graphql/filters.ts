// The filter and order input types of the GraphQL schema.

import {
  GraphQLEnumType,
  GraphQLInputObjectType,
  type GraphQLInputType,
  GraphQLList,
  GraphQLNonNull,
} from "graphql";
import { type Operator, operatorsOf, SCALARS, type ScalarName } from "./scalars.ts";

const FilterIs = new GraphQLEnumType({ name: "FilterIs", values: { NULL: {}, NOT_NULL: {} } });

export const OrderByDirection = new GraphQLEnumType({
  name: "OrderByDirection",
  description: "Defines a per-field sorting order",
  values: {
    AscNullsFirst: { value: "asc nulls first", description: "Ascending order, nulls first" },
    AscNullsLast: { value: "asc nulls last", description: "Ascending order, nulls last" },
    DescNullsFirst: { value: "desc nulls first", description: "Descending order, nulls first" },
    DescNullsLast: { value: "desc nulls last", description: "Descending order, nulls last" },
  },
});

const filters = new Map<string, GraphQLInputObjectType>();

/** `StringFilter`, `UUIDListFilter`, …; undefined where a column cannot be filtered by. */
export function filterOf(scalar: ScalarName | "ID", list: boolean): GraphQLInputObjectType | undefined {
  const operators = scalar === "ID" ? (["eq"] as const) : operatorsOf(scalar, list);
  if (operators.length === 0) return undefined;
  const name = `${scalar}${list ? "List" : ""}`;
  const known = filters.get(name);
  if (known) return known;
  const made = filterType(name, SCALARS[scalar], operators, list);
  filters.set(name, made);
  return made;
}

/** `LightFilter`, …, of an enum that one schema has. */
export const enumFilterOf = (type: GraphQLEnumType, list: boolean): GraphQLInputObjectType =>
  filterType(`${type.name}${list ? "List" : ""}`, type, operatorsOf("Enum", list), list);

function filterType(
  name: string,
  type: GraphQLInputType,
  operators: readonly Operator[],
  list: boolean,
): GraphQLInputObjectType {
  const many = new GraphQLList(new GraphQLNonNull(type));
  return new GraphQLInputObjectType({
    name: `${name}Filter`,
    description: `Boolean expression comparing fields on type "${name}"`,
    fields: Object.fromEntries(
      operators.map((op) => [op, { type: op === "is" ? FilterIs : list || op === "in" ? many : type }]),
    ),
  });
}
