// Builds the GraphQL schema from the catalogue.

import {
  GraphQLBoolean,
  type GraphQLFieldConfig,
  type GraphQLFieldConfigArgumentMap,
  type GraphQLFieldResolver,
  GraphQLID,
  type GraphQLInputFieldConfigMap,
  GraphQLInputObjectType,
  GraphQLInt,
  GraphQLInterfaceType,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  type GraphQLOutputType,
  GraphQLSchema,
  GraphQLString,
} from "graphql";
import {
  AGGREGATE_OPERATIONS,
  type AggregateOperation,
  aggregateColumns,
  aggregateScalar,
} from "./aggregates.ts";
import type { Catalogue, Column, Relation, Table } from "./catalogue.ts";
import { OrderByDirection } from "./filters.ts";
import type { Callable } from "./functions.ts";
import { Leaves } from "./leaves.ts";
import { lowerFirst } from "./names.ts";
import { Cursor, SCALARS } from "./scalars.ts";

/** What a field of the schema stands for in SQL. */
export type Meaning =
  | { kind: "collection" | "insert" | "update" | "delete" | "byPk"; table: Table }
  | { kind: "node" }
  | { kind: "nodeId" }
  | { kind: "column"; column: Column }
  | { kind: "relation"; relation: Relation }
  | { kind: "call"; call: Callable }
  | { kind: "aggregate"; table: Table }
  | { kind: "aggregated"; table: Table; operation: AggregateOperation }
  | {
      kind:
        | "edges"
        | "pageInfo"
        | "totalCount"
        | "cursor"
        | "edgeNode"
        | "records"
        | "affectedCount"
        | "count";
    };

/** The part that says which table an object type shows. */
export const tableOfType = (type: GraphQLObjectType): Table | undefined =>
  type.extensions.table as Table | undefined;

/** What a field stands for; undefined for fields of pageInfo, which need nothing of their own. */
export const meaningOf = (field: { extensions: object }): Meaning | undefined =>
  (field.extensions as { meaning?: Meaning }).meaning;

type Field = GraphQLFieldConfig<unknown, unknown>;
const nonNull = <T extends GraphQLOutputType>(type: T) => new GraphQLNonNull(type);
const meaning = (value: Meaning) => ({ extensions: { meaning: value } });

/** The JSON that a statement gave holds each field under its response key; whatever has no key there is null. */
export const fromJson: GraphQLFieldResolver<unknown, unknown> = (source, _arguments, _context, info) =>
  (source as Record<string, unknown>)[String(info.path.key)] ?? null;

/** Where a row of an interface's field tells its type. */
export const TYPE_KEY = "__type";

/** Builds the schema that a role gets: pg_graphql's forms for the tables of the catalogue. */
export function buildSchema({ tables, functions, enumerations }: Catalogue): GraphQLSchema {
  const node = new GraphQLInterfaceType({
    name: "Node",
    fields: { nodeId: { type: nonNull(GraphQLID), description: "Retrieves a record by `ID`" } },
    resolveType: (value) => (value as Record<string, string>)[TYPE_KEY],
  });
  const types = new Map<Table, TableTypes>();
  const leaves = new Leaves();
  const typesOf = (table: Table) => types.get(table)!;
  for (const table of tables) types.set(table, new TableTypes(table, node, typesOf, leaves));
  const query: Record<string, Field> = {
    node: {
      type: node,
      description: "Retrieve a record by its `ID`",
      args: { nodeId: { type: nonNull(GraphQLID) } },
      ...meaning({ kind: "node" }),
    },
  };
  const mutation: Record<string, Field> = {};
  for (const made of types.values()) {
    Object.assign(query, made.queries());
    Object.assign(mutation, made.mutations());
  }
  for (const call of functions) {
    const fields = call.volatile ? mutation : query;
    if (!(call.field in fields)) fields[call.field] = callField(call, typesOf, leaves);
  }
  return new GraphQLSchema({
    query: new GraphQLObjectType({
      name: "Query",
      description: "The root type for querying data",
      fields: sorted(query),
    }),
    ...(Object.keys(mutation).length === 0
      ? {}
      : {
          mutation: new GraphQLObjectType({
            name: "Mutation",
            description: "The root type for creating and mutating data",
            fields: sorted(mutation),
          }),
        }),
    types: [
      ...[...types.values()].map(({ object }) => object),
      ...enumerations.map((one) => leaves.enum(one)),
    ],
  });
}

const sorted = (fields: Record<string, Field>): Record<string, Field> =>
  Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));

/** The field of a function: a value, a row, or a collection of rows. */
function callField(call: Callable, typesOf: (table: Table) => TableTypes, leaves: Leaves): Field {
  const { returns } = call;
  const args: GraphQLFieldConfigArgumentMap = Object.fromEntries(
    call.args.map((arg) => {
      const type = leaves.valueOf(arg);
      return [arg.field, { type: arg.optional ? type : new GraphQLNonNull(type) }];
    }),
  );
  if (returns.kind === "rows") {
    const field = typesOf(returns.table).collectionField({ kind: "call", call });
    return { ...field, description: call.description, args: { ...args, ...field.args } };
  }
  const type =
    returns.kind === "row"
      ? typesOf(returns.table).object
      : leaves.valueOf({ ...returns, list: returns.list || returns.set });
  return { type, description: call.description, args, ...meaning({ kind: "call", call }) };
}

const PageInfo = new GraphQLObjectType({
  name: "PageInfo",
  fields: {
    endCursor: { type: GraphQLString },
    hasNextPage: { type: nonNull(GraphQLBoolean) },
    hasPreviousPage: { type: nonNull(GraphQLBoolean) },
    startCursor: { type: GraphQLString },
  },
});

class TableTypes {
  readonly #table: Table;
  readonly #typesOf: (table: Table) => TableTypes;
  readonly #leaves: Leaves;
  readonly object: GraphQLObjectType;
  readonly connection: GraphQLObjectType;
  readonly #filter: GraphQLInputObjectType;
  readonly #orderBy: GraphQLInputObjectType;

  constructor(
    table: Table,
    node: GraphQLInterfaceType,
    typesOf: (table: Table) => TableTypes,
    leaves: Leaves,
  ) {
    this.#table = table;
    this.#typesOf = typesOf;
    this.#leaves = leaves;
    this.object = new GraphQLObjectType({
      name: table.type,
      description: table.description,
      interfaces: [node],
      extensions: { table },
      fields: () => this.#fields(),
    });
    const edge = new GraphQLObjectType({
      name: `${table.type}Edge`,
      fields: {
        cursor: { type: nonNull(GraphQLString), ...meaning({ kind: "cursor" }) },
        node: { type: nonNull(this.object), ...meaning({ kind: "edgeNode" }) },
      },
    });
    const totalCount: Record<string, Field> = table.totalCount
      ? {
          totalCount: {
            type: nonNull(GraphQLInt),
            description: "The total number of records matching the `filter` criteria",
            ...meaning({ kind: "totalCount" }),
          },
        }
      : {};
    this.connection = new GraphQLObjectType({
      name: `${table.type}Connection`,
      fields: {
        edges: {
          type: nonNull(new GraphQLList(nonNull(edge))),
          ...meaning({ kind: "edges" }),
        },
        pageInfo: { type: nonNull(PageInfo), ...meaning({ kind: "pageInfo" }) },
        ...totalCount,
        ...this.#aggregate(),
      },
    });
    this.#filter = new GraphQLInputObjectType({
      name: `${table.type}Filter`,
      fields: () => this.#filterFields(),
    });
    this.#orderBy = new GraphQLInputObjectType({
      name: `${table.type}OrderBy`,
      fields: Object.fromEntries(
        table.columns
          .filter(({ select, list, scalar }) => select && !list && scalar !== "JSON")
          .map(({ field }) => [field, { type: OrderByDirection }]),
      ),
    });
  }

  queries(): Record<string, Field> {
    const name = lowerFirst(this.#table.type);
    const byPk: Record<string, Field> = {
      [`${name}ByPk`]: {
        type: this.object,
        description: `Retrieve a record of type \`${this.#table.type}\` by its primary key`,
        args: Object.fromEntries(
          this.#table.primaryKey.map((column) => [
            column.field,
            { type: new GraphQLNonNull(this.#leaves.valueOf(column)) },
          ]),
        ),
        ...meaning({ kind: "byPk", table: this.#table }),
      },
    };
    return {
      [`${name}Collection`]: {
        ...this.collectionField({ kind: "collection", table: this.#table }),
        description: `A pagable collection of type \`${this.#table.type}\``,
      },
      ...(this.#table.primaryKey.every((column) => isKeyType(column) && this.#table.columns.includes(column))
        ? byPk
        : {}),
    };
  }

  mutations(): Record<string, Field> {
    const table = this.#table;
    const { type } = table;
    const changes: GraphQLFieldConfigArgumentMap = {
      filter: {
        type: this.#filter,
        description: "Restricts the mutation's impact to records matching the criteria",
      },
      atMost: {
        type: new GraphQLNonNull(GraphQLInt),
        defaultValue: 1,
        description: "The maximum number of records in the collection permitted to be affected",
      },
    };
    const made: Record<string, Field> = {};
    if (table.insertable) {
      const objects = new GraphQLNonNull(
        new GraphQLList(new GraphQLNonNull(this.#input("Insert", "insert"))),
      );
      made[`insertInto${type}Collection`] = {
        type: this.#response("Insert"),
        description: `Adds one or more \`${type}\` records to the collection`,
        args: { objects: { type: objects } },
        ...meaning({ kind: "insert", table }),
      };
    }
    if (table.updatable) {
      made[`update${type}Collection`] = {
        type: nonNull(this.#response("Update")),
        description: `Updates zero or more records in the \`${type}\` collection`,
        args: {
          set: {
            type: new GraphQLNonNull(this.#input("Update", "update")),
            description: "Fields that are set will be updated for all records matching the `filter`",
          },
          ...changes,
        },
        ...meaning({ kind: "update", table }),
      };
    }
    if (table.deletable) {
      made[`deleteFrom${type}Collection`] = {
        type: nonNull(this.#response("Delete")),
        description: `Deletes zero or more records from the \`${type}\` collection`,
        args: changes,
        ...meaning({ kind: "delete", table }),
      };
    }
    return made;
  }

  #fields(): Record<string, Field> {
    const fields: Record<string, Field> = {
      nodeId: {
        type: nonNull(GraphQLID),
        description: "Globally Unique Record Identifier",
        ...meaning({ kind: "nodeId" }),
      },
    };
    for (const column of this.#table.columns) {
      if (!column.select) continue;
      const type = this.#leaves.valueOf(column);
      fields[column.field] = {
        type: column.notNull ? nonNull(type) : type,
        description: column.description,
        ...meaning({ kind: "column", column }),
      };
    }
    for (const relation of this.#table.relations) {
      const other = this.#typesOf(relation.table);
      fields[relation.field] = relation.one
        ? {
            type: relation.notNull ? nonNull(other.object) : other.object,
            ...meaning({ kind: "relation", relation }),
          }
        : other.collectionField({ kind: "relation", relation });
    }
    for (const call of this.#table.computed)
      fields[call.field] = callField(call, this.#typesOf, this.#leaves);
    return fields;
  }

  /** A page of the table's rows, from wherever they come. */
  collectionField(what: Meaning): Field {
    return {
      type: this.connection,
      args: {
        first: { type: GraphQLInt, description: "Query the first `n` records in the collection" },
        last: { type: GraphQLInt, description: "Query the last `n` records in the collection" },
        before: { type: Cursor, description: "Query values in the collection before the provided cursor" },
        after: { type: Cursor, description: "Query values in the collection after the provided cursor" },
        offset: {
          type: GraphQLInt,
          description:
            "Skip n values from the after cursor. Alternative to cursor pagination. Backward pagination not supported.",
        },
        filter: {
          type: this.#filter,
          description: "Filters to apply to the results set when querying from the collection",
        },
        orderBy: {
          type: new GraphQLList(new GraphQLNonNull(this.#orderBy)),
          description: "Sort order to apply to the collection",
        },
      },
      ...meaning(what),
    };
  }

  #filterFields(): GraphQLInputFieldConfigMap {
    const fields: GraphQLInputFieldConfigMap = {};
    for (const column of this.#table.columns) {
      const type = column.select ? this.#leaves.filterOf(column) : undefined;
      if (type) fields[column.field] = { type };
    }
    const many = new GraphQLList(new GraphQLNonNull(this.#filter));
    const all = "Returns true only if all its inner filters are true, otherwise returns false";
    const some = "Returns true if at least one of its inner filters is true, otherwise returns false";
    return {
      ...fields,
      nodeId: { type: this.#leaves.idFilter },
      // A column of that name is what can be filtered by.
      and: fields.and ?? { type: many, description: all },
      or: fields.or ?? { type: many, description: some },
      not: fields.not ?? { type: this.#filter, description: "Negates a filter" },
    };
  }

  #input(verb: "Insert" | "Update", privilege: "insert" | "update"): GraphQLInputObjectType {
    return new GraphQLInputObjectType({
      name: `${this.#table.type}${verb}Input`,
      fields: Object.fromEntries(
        this.#table.columns
          .filter((column) => column[privilege])
          .map((column) => [column.field, { type: this.#leaves.valueOf(column) }]),
      ),
    });
  }

  #aggregate(): Record<string, Field> {
    const table = this.#table;
    if (!table.aggregates) return {};
    const results = AGGREGATE_OPERATIONS.flatMap((operation): [string, Field][] => {
      const columns = aggregateColumns(table, operation);
      if (columns.length === 0) return [];
      const type = new GraphQLObjectType({
        name: `${table.type}${operation.slice(0, 1).toUpperCase()}${operation.slice(1)}AggregateResult`,
        fields: Object.fromEntries(
          columns.map((column) => [
            column.field,
            { type: SCALARS[aggregateScalar(column, operation)], ...meaning({ kind: "column", column }) },
          ]),
        ),
      });
      return [[operation, { type, ...meaning({ kind: "aggregated", table, operation }) }]];
    });
    const count: Field = {
      type: nonNull(GraphQLInt),
      description: "The number of records matching the query",
      ...meaning({ kind: "count" }),
    };
    const type = new GraphQLObjectType({
      name: `${table.type}Aggregate`,
      description: `Aggregate results for \`${table.type}\``,
      fields: { count, ...Object.fromEntries(results) },
    });
    const description = `Aggregate functions calculated on the collection of \`${table.type}\``;
    return { aggregate: { type, description, ...meaning({ kind: "aggregate", table }) } };
  }

  #response(verb: string): GraphQLObjectType {
    return new GraphQLObjectType({
      name: `${this.#table.type}${verb}Response`,
      fields: {
        affectedCount: {
          type: nonNull(GraphQLInt),
          description: "Count of the records impacted by the mutation",
          ...meaning({ kind: "affectedCount" }),
        },
        records: {
          type: nonNull(new GraphQLList(nonNull(this.object))),
          description: "Array of records impacted by the mutation",
          ...meaning({ kind: "records" }),
        },
      },
    });
  }
}

/** Whether a row can be asked for by a key of this type. */
const isKeyType = ({ scalar, list, enumeration }: Column): boolean =>
  !list &&
  !enumeration &&
  (scalar === "Int" || scalar === "BigInt" || scalar === "String" || scalar === "UUID");
