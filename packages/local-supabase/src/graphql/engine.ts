// Runs GraphQL requests, each under its caller's row-level security.

import {
  type DocumentNode,
  execute,
  type FragmentDefinitionNode,
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  Kind,
  NoSchemaIntrospectionCustomRule,
  OperationTypeNode,
  parse,
  validate,
} from "graphql";
import type { ClientBase, Pool } from "pg";
import type { Refusal } from "../gateway/refusals.ts";
import { type Catalogue, mayBecome, readCatalogue } from "./catalogue.ts";
import { type Failure, failure, failureOf } from "./failure.ts";
import { checkLimits, checkNesting, LIMITS } from "./limits.ts";
import { queryStatement } from "./read.ts";
import { RULES } from "./rules.ts";
import { buildSchema, fromJson } from "./schema.ts";
import { fieldsOf, type Operation, type Selected } from "./selection.ts";
import { type AnswerHeaders, asCaller, type Caller, WorkFailed } from "./session.ts";
import { type Change, mutationStatement } from "./write.ts";

/** What a client asks. */
export interface Asked {
  query: string;
  variables: Record<string, unknown> | undefined;
  operationName: string | undefined;
  /** Whether the request may change anything: a GET may not. */
  mayChange: boolean;
}

export interface Answered {
  status: number;
  headers: AnswerHeaders;
  body: { data?: unknown; errors?: readonly unknown[] };
  /** What a rule of the database refused, with the status that it has on its own. */
  refusal?: Refusal;
}

/** How long a role's schema is taken for current. */
const CURRENT_MS = 2000;

interface Known {
  text: string;
  catalogue: Catalogue;
  schema: GraphQLSchema;
  at: number;
}

/** Answers GraphQL requests from a database, each under its caller's row-level security. */
export class Engine {
  readonly #pool: Pool;
  readonly #known = new Map<string, Known>();

  /** Takes connections of a role that may become the callers' roles. */
  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Never throws: what goes wrong is told in GraphQL's form. */
  async answer(caller: Caller, asked: Asked): Promise<Answered> {
    try {
      const known = await this.#schemaOf(caller.identity.role);
      // Counted before it is looked at: what a refused request costs is limited, too.
      const { result, headers } = await asCaller(this.#pool, known.catalogue, caller, (client) =>
        respond(client, known, asked),
      );
      return { status: 200, headers, body: result };
    } catch (error) {
      if (error instanceof NotARole) {
        return tell(failure(403, "INSUFFICIENT_PERMISSIONS", "The token's role may not be used"));
      }
      if (!(error instanceof WorkFailed)) return tell(failureOf(error));
      const { reason, headers } = error;
      if (reason instanceof Refused) {
        return { status: 200, headers, body: { errors: reason.errors.map((one) => failureOf(one).error) } };
      }
      return tell(
        reason instanceof FieldFailed ? failureOf(reason.reason, [reason.key]) : failureOf(reason),
        headers,
      );
    }
  }

  /** The schema of a role, read again when it may have changed, built again only when it has. */
  async #schemaOf(role: string): Promise<Known> {
    const known = this.#known.get(role);
    if (known && Date.now() - known.at < CURRENT_MS) return known;
    const client = await this.#pool.connect();
    try {
      if (!(await mayBecome(client, role))) throw new NotARole();
      const { text, catalogue } = await readCatalogue(client, role);
      if (known?.text === text) {
        known.at = Date.now();
        return known;
      }
      const read = catalogue();
      const made = { text, catalogue: read, schema: buildSchema(read), at: Date.now() };
      this.#known.set(role, made);
      return made;
    } finally {
      client.release();
    }
  }
}

interface Prepared {
  document: DocumentNode;
  operation: Operation;
  roots: Selected[];
  reads: boolean;
}

/** A token names a role that the database does not let a request have. */
class NotARole extends Error {}

/** A request that cannot be run as it is. */
class Refused extends Error {
  readonly errors: readonly GraphQLError[];

  constructor(errors: readonly GraphQLError[]) {
    super("the request was refused");
    this.errors = errors;
  }
}

async function respond(client: ClientBase, known: Known, asked: Asked): Promise<Answered["body"]> {
  const { document, operation, roots, reads } = prepare(known, asked);
  if (reads) await client.query("set local transaction_read_only = on");
  const root = await run(client, operation, roots, reads);
  // What is left is the shape: every value stands in `root` already.
  const { data, errors } = await execute({
    schema: known.schema,
    document,
    rootValue: root,
    fieldResolver: fromJson,
    variableValues: asked.variables ?? null,
    operationName: asked.operationName ?? null,
  });
  return { data, ...(errors ? { errors } : {}) };
}

/** Parses, validates and limits a request. Throws Refused. */
function prepare({ schema, catalogue }: Known, asked: Asked): Prepared {
  try {
    checkNesting(asked.query);
    const document = parse(asked.query, { maxTokens: LIMITS.tokens });
    const rules = catalogue.introspection ? RULES : [...RULES, NoSchemaIntrospectionCustomRule];
    const errors = validate(schema, document, rules, { maxErrors: 20 });
    if (errors.length > 0) throw new Refused(errors);
    const chosen = getOperationAST(document, asked.operationName);
    if (!chosen) {
      throw new GraphQLError(
        asked.operationName === undefined
          ? "operationName must be given where a document has several operations"
          : `The document has no operation ${JSON.stringify(asked.operationName)}`,
      );
    }
    const type = chosen.operation;
    if (type === OperationTypeNode.MUTATION && !asked.mayChange)
      throw new GraphQLError("Mutations must be sent by POST");
    const values = getVariableValues(schema, chosen.variableDefinitions ?? [], asked.variables ?? {}, {
      maxErrors: 20,
    });
    if (values.errors) throw new Refused(values.errors);
    const fragments: Record<string, FragmentDefinitionNode> = {};
    for (const definition of document.definitions) {
      if (definition.kind === Kind.FRAGMENT_DEFINITION) fragments[definition.name.value] = definition;
    }
    const operation = { schema, fragments, variables: values.coerced };
    const root = schema.getRootType(type);
    if (!root) throw new GraphQLError(`The schema has no ${type}`);
    const roots = fieldsOf(operation, root, [chosen.selectionSet]);
    checkLimits(operation, roots);
    return { document, operation, roots, reads: type === OperationTypeNode.QUERY };
  } catch (error) {
    if (error instanceof GraphQLError) throw new Refused([error]);
    throw error;
  }
}

class FieldFailed extends Error {
  readonly reason: unknown;
  readonly key: string;

  constructor(reason: unknown, key: string) {
    super("a field failed");
    this.reason = reason;
    this.key = key;
  }
}

/** One statement for each root field, one after the other. */
async function run(
  client: ClientBase,
  operation: Operation,
  roots: readonly Selected[],
  reads: boolean,
): Promise<Record<string, unknown>> {
  const root: Record<string, unknown> = {};
  for (const selected of roots) {
    try {
      const statement = reads ? queryStatement(operation, selected) : mutationStatement(operation, selected);
      const { rows } = await client.query<{ data: unknown; affected?: string }>(
        statement.text,
        statement.values,
      );
      const affected = Number(rows[0]?.affected ?? 0);
      const { atMost, tooMany } = {
        atMost: Number.POSITIVE_INFINITY,
        tooMany: "",
        ...(statement as Partial<Change>),
      };
      if (affected > atMost) throw new GraphQLError(tooMany, { extensions: { code: "VALIDATION_ERROR" } });
      root[selected.key] = rows[0]?.data ?? null;
    } catch (error) {
      throw new FieldFailed(error, selected.key);
    }
  }
  return root;
}

/** What failed on the way has 200 and no data, as pg_graphql has it; what never began has a status of its own. */
function tell({ status, headers, error, refused }: Failure, counted?: AnswerHeaders): Answered {
  const began = counted !== undefined && status !== 503;
  const refusal = { status, code: String(error.extensions?.code), message: error.message };
  return {
    ...(refused ? { refusal } : {}),
    status: began ? 200 : status,
    headers: { ...counted, ...headers },
    body: { ...(began ? { data: null } : {}), errors: [error] },
  };
}
