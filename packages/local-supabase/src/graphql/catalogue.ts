// Reads from the database what a role can see, for the GraphQL schema.

import type { ClientBase } from "pg";
import {
  CATALOGUE,
  type RawColumn,
  type RawKey,
  type RawTable,
  type RawType,
  type Rows,
} from "./catalogue-rows.ts";
import { type Callable, callablesOf } from "./functions.ts";
import { directive, fieldName, isName, lowerFirst, toOneName, typeName } from "./names.ts";
import { type ScalarName, scalarOf } from "./scalars.ts";

/** An enum of the database, as GraphQL names it and its values. */
export interface Enumeration {
  name: string;
  description: string | undefined;
  /** Pairs of a value's name in GraphQL and its label in the database. */
  values: [name: string, label: string][];
}

/** What a value of the database is in GraphQL. */
export interface ValueType {
  scalar: ScalarName;
  list: boolean;
  /** Set where the value, or each element of the list, is one of an enum's. */
  enumeration?: Enumeration;
}

/** A column as one role may use it. */
export interface Column extends ValueType {
  name: string;
  field: string;
  description: string | undefined;
  notNull: boolean;
  /** How many characters a text may have; undefined: any number. */
  maxLength: number | undefined;
  /** The type that a value is cast to. */
  sqlType: string;
  select: boolean;
  insert: boolean;
  update: boolean;
}

/** A way from one table to another by a foreign key. */
export interface Relation {
  field: string;
  /** One row, or a collection. */
  one: boolean;
  table: Table;
  /** Pairs of columns: of the table that has the field, and of the other one. */
  columns: [own: string, other: string][];
  notNull: boolean;
}

export interface Table {
  schema: string;
  name: string;
  type: string;
  description: string | undefined;
  columns: Column[];
  primaryKey: Column[];
  relations: Relation[];
  /** Functions of a row of this table, shown as its fields. */
  computed: Callable[];
  aggregates: boolean;
  insertable: boolean;
  updatable: boolean;
  deletable: boolean;
  totalCount: boolean;
  maxRows: number;
}

/** What a role sees of the database. */
export interface Catalogue {
  tables: Table[];
  /** Functions shown as fields of Query (stable ones) and Mutation (volatile ones). */
  functions: Callable[];
  enumerations: Enumeration[];
  introspection: boolean;
  /** Settings that PostgREST, too, applies to each request of the role. */
  settings: [name: string, value: string][];
  /** The function that PostgREST calls before each request, as it is named in its setting. */
  preRequest: string | undefined;
  /** Where PostgREST looks for operators: a project may put its own before those of pg_catalog. */
  searchPath: string | undefined;
}

/** Whether a request may have this role: one that the connection's own is a member of, as PostgREST serves it. */
export async function mayBecome(client: ClientBase, role: string): Promise<boolean> {
  const { rowCount } = await client.query(
    "select from pg_roles where rolname = $1 and pg_has_role(session_user, oid, 'MEMBER')",
    [role],
  );
  return rowCount === 1;
}

/** Reads what `role` may do from the catalogue. Returns the text that tells whether anything changed, beside it. */
export async function readCatalogue(
  client: ClientBase,
  role: string,
): Promise<{ text: string; catalogue: () => Catalogue }> {
  const { rows } = await client.query<Rows>(CATALOGUE, [role]);
  const row = rows[0]!;
  return { text: JSON.stringify(row), catalogue: () => catalogueOf(row) };
}

/** The catalogue in GraphQL's terms. Pure. What GraphQL cannot name is left out; of two columns of one name the last is shown. */
export function catalogueOf(rows: Rows): Catalogue {
  const { comment, settings, pre_request, search_path, tables, keys } = rows;
  const schema = directive(comment);
  const inflect = schema.inflect_names === true;
  const enums = new Map<number, Enumeration>();
  for (const raw of rows.enums ?? []) {
    const made = enumerationOf(raw, inflect);
    if (made && ![...enums.values()].some(({ name }) => name === made.name)) enums.set(raw.oid, made);
  }
  const byOid = new Map<number, { raw: RawTable; table: Table }>();
  for (const raw of tables ?? []) {
    const table = tableOf(raw, inflect, numberOr(schema.max_rows, 30), enums);
    const readable = table.primaryKey.length > 0 && table.primaryKey.every(({ select }) => select);
    const known = [...byOid.values()].some((other) => other.table.type === table.type);
    if (isName(table.type) && readable && !known) byOid.set(raw.oid, { raw, table });
  }
  for (const key of keys ?? []) relate(byOid, key, inflect);
  for (const { raw } of [...byOid.values()]) {
    for (const key of commentedKeys(raw, tables ?? [])) relate(byOid, key, inflect);
  }
  const tableOfOid = (oid: number) => byOid.get(oid)?.table;
  const { roots, computed } = callablesOf(rows.functions ?? [], inflect, tableOfOid, (type) =>
    valueTypeOf(type, enums),
  );
  for (const { oid, call } of computed) {
    const table = tableOfOid(oid);
    if (table && isName(call.field) && !fieldsOfTable(table).includes(call.field)) table.computed.push(call);
  }
  return {
    tables: [...byOid.values()].map(({ table }) => table),
    functions: roots,
    enumerations: [...enums.values()],
    introspection: schema.introspection === true,
    settings: (settings ?? []).map((setting) => {
      const at = setting.indexOf("=");
      return [setting.slice(0, at), setting.slice(at + 1)];
    }),
    preRequest: pre_request ?? undefined,
    searchPath: search_path ?? undefined,
  };
}

/** An enum as GraphQL can name it; undefined where it cannot name each value. */
function enumerationOf(
  { name, comment, labels }: NonNullable<Rows["enums"]>[number],
  inflect: boolean,
): Enumeration | undefined {
  const set = directive(comment);
  const mappings = typeof set.mappings === "object" && set.mappings !== null ? set.mappings : {};
  const named = new Map(Object.entries(mappings));
  const values = labels.map((label): [string, string] => [nameOr(named.get(label), label), label]);
  const type = nameOr(set.name, typeName(name, inflect));
  const right = isName(type) && values.every(([value]) => isName(value) && !RESERVED.has(value));
  return right ? { name: type, description: textOr(set.description), values } : undefined;
}

const RESERVED = new Set(["true", "false", "null"]);

function valueTypeOf(
  { type, element, enum: oid }: RawType,
  enums: ReadonlyMap<number, Enumeration>,
): ValueType {
  const enumeration = oid === null ? undefined : enums.get(oid);
  return {
    scalar: scalarOf(element ?? type),
    list: element !== null,
    ...(enumeration ? { enumeration } : {}),
  };
}

function tableOf(
  raw: RawTable,
  inflect: boolean,
  maxRows: number,
  enums: ReadonlyMap<number, Enumeration>,
): Table {
  const set = directive(raw.comment);
  const all = raw.columns.map((column) => columnOf(column, inflect, enums));
  const byField = new Map<string, Column>();
  for (const made of all) {
    if (isName(made.field) && made.field !== "nodeId") byField.set(made.field, made);
  }
  const columns = [...byField.values()];
  const keyNames = raw.primary_key ?? listOf(set.primary_key_columns);
  const primaryKey = keyNames.flatMap((name) => all.find((column) => column.name === name) ?? []);
  return {
    schema: "public",
    name: raw.name,
    type: nameOr(set.name, typeName(raw.name, inflect)),
    description: textOr(set.description),
    columns,
    primaryKey: primaryKey.length === keyNames.length ? primaryKey : [],
    relations: [],
    computed: [],
    aggregates: isEnabled(set.aggregate),
    insertable: raw.insertable && columns.some(({ insert }) => insert),
    updatable: raw.updatable && columns.some(({ update }) => update),
    deletable: raw.deletable,
    totalCount: isEnabled(set.totalCount),
    maxRows: numberOr(set.max_rows, maxRows),
  };
}

function columnOf(column: RawColumn, inflect: boolean, enums: ReadonlyMap<number, Enumeration>): Column {
  const { name: given, description } = directive(column.comment);
  return {
    ...valueTypeOf(column, enums),
    name: column.name,
    field: nameOr(given, fieldName(column.name, inflect)),
    description: textOr(description),
    notNull: column.not_null,
    maxLength: column.max_length ?? undefined,
    sqlType: column.cast,
    select: column.select,
    insert: column.insert && !column.generated,
    update: column.update && !column.generated,
  };
}

/** Foreign keys that a comment names: a view has none in the catalogue. */
function commentedKeys(raw: RawTable, tables: readonly RawTable[]): RawKey[] {
  const { foreign_keys: given } = directive(raw.comment);
  if (!Array.isArray(given)) return [];
  return given.flatMap((one: Record<string, unknown> | null) => {
    const local = listOf(one?.local_columns);
    const theirs = listOf(one?.foreign_columns);
    const other = tables.find(({ name }) => name === one?.foreign_table);
    const known = other && (one?.foreign_schema ?? "public") === "public";
    if (!one || !known || local.length === 0 || local.length !== theirs.length) return [];
    const names = { foreign_name: one.foreign_name, local_name: one.local_name };
    return [
      {
        comment: `@graphql(${JSON.stringify(names)})`,
        local: raw.oid,
        foreign: other.oid,
        local_columns: local,
        foreign_columns: theirs,
      },
    ];
  });
}

function relate(byOid: Map<number, { raw: RawTable; table: Table }>, key: RawKey, inflect: boolean): void {
  const local = byOid.get(key.local);
  const foreign = byOid.get(key.foreign);
  if (!local || !foreign) return;
  const named = directive(key.comment);
  const pairs = key.local_columns.map((name, i): [string, string] => [name, key.foreign_columns[i]!]);
  const readable = (table: Table, names: string[]) =>
    names.every((name) => table.columns.some((column) => column.name === name && column.select));
  if (!readable(local.table, key.local_columns) || !readable(foreign.table, key.foreign_columns)) return;
  const unique = (local.raw.unique_keys ?? []).some((names) =>
    names.every((name) => key.local_columns.includes(name)),
  );
  add(local.table, {
    field: nameOr(named.foreign_name, toOneName(key.local_columns, foreign.table.type, inflect)),
    one: true,
    table: foreign.table,
    columns: pairs,
    // A row that its own policies hide is null.
    notNull:
      !foreign.raw.rls &&
      key.local_columns.some((name) => local.table.columns.some((c) => c.name === name && c.notNull)),
  });
  add(foreign.table, {
    field: nameOr(
      named.local_name,
      unique
        ? toOneName(key.foreign_columns, local.table.type, inflect)
        : `${lowerFirst(local.table.type)}Collection`,
    ),
    one: unique,
    table: local.table,
    columns: pairs.map(([own, other]): [string, string] => [other, own]),
    notNull: false,
  });
}

function add(table: Table, relation: Relation): void {
  if (isName(relation.field) && !fieldsOfTable(table).includes(relation.field))
    table.relations.push(relation);
}

const fieldsOfTable = ({ columns, relations, computed }: Table): string[] => [
  "nodeId",
  ...[...columns.filter(({ select }) => select), ...relations, ...computed].map(({ field }) => field),
];

const isEnabled = (set: unknown): boolean =>
  typeof set === "object" && set !== null && "enabled" in set && set.enabled === true;
const listOf = (value: unknown): string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string") ? value : [];

const textOr = (text: unknown): string | undefined => (typeof text === "string" ? text : undefined);
const nameOr = (name: unknown, otherwise: string): string => (typeof name === "string" ? name : otherwise);
const numberOr = (value: unknown, otherwise: number): number =>
  typeof value === "number" && Number.isInteger(value) && value > 0 ? value : otherwise;
