// The scalars, enums and filters that the types of one GraphQL schema share.

import {
  GraphQLEnumType,
  type GraphQLInputObjectType,
  type GraphQLLeafType,
  GraphQLList,
  Kind,
  type ValueNode,
} from "graphql";
import type { Enumeration, ValueType } from "./catalogue.ts";
import { enumFilterOf, filterOf } from "./filters.ts";
import { SCALARS } from "./scalars.ts";

/** An enum whose values may be sent as texts, too: pg_graphql accepts both. */
class TextualEnum extends GraphQLEnumType {
  override parseLiteral(node: ValueNode, variables: Parameters<GraphQLEnumType["parseLiteral"]>[1]) {
    if (node.kind === Kind.STRING) return this.parseValue(node.value);
    return super.parseLiteral(node, variables);
  }
}

/** Makes each enum of a schema and its filters once. */
export class Leaves {
  readonly #enums = new Map<string, GraphQLEnumType>();
  readonly #filters = new Map<string, GraphQLInputObjectType>();
  readonly idFilter: GraphQLInputObjectType = filterOf("ID", false)!;

  /** The type of a value, or of a list of them. */
  valueOf({ scalar, list, enumeration }: ValueType): GraphQLLeafType | GraphQLList<GraphQLLeafType> {
    const type = enumeration ? this.enum(enumeration) : SCALARS[scalar];
    return list ? new GraphQLList(type) : type;
  }

  /** What a column of this type is filtered by; undefined where it cannot be. */
  filterOf({ scalar, list, enumeration }: ValueType): GraphQLInputObjectType | undefined {
    if (!enumeration) return filterOf(scalar, list);
    const key = `${enumeration.name} ${list}`;
    const made = this.#filters.get(key) ?? enumFilterOf(this.enum(enumeration), list);
    this.#filters.set(key, made);
    return made;
  }

  /** The type of an enum. */
  enum({ name, description, values }: Enumeration): GraphQLEnumType {
    const made =
      this.#enums.get(name) ??
      new TextualEnum({
        name,
        description,
        values: Object.fromEntries(values.map(([value, label]) => [value, { value: label }])),
      });
    this.#enums.set(name, made);
    return made;
  }
}
