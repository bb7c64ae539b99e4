/** Writes the SDK's types from the contract; with --check, fails where the committed file differs. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { errorCodes } from "../supabase/functions/_shared/contract/index.ts";
import { openApi } from "../supabase/functions/_shared/openapi.ts";
import { routes } from "../supabase/functions/api/routes/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const file = `${root}packages/sdk/src/contract.ts`;
const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });

/** The JSON Schema that the contract uses. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  description?: string;
  schema?: Schema;
}

/** What may be asked of the paths that take a query, by the name that clients know it under. */
const queries: Record<string, string> = {
  listAgents: "ListAgentsQuery",
  listAgentRevisions: "PageQuery",
  getAgentLogs: "AgentLogsQuery",
  getAgentMetrics: "AgentMetricsQuery",
  listSecurityEvents: "SecurityEventsQuery",
  listPlugins: "PluginsQuery",
};

const literals = (values: readonly unknown[]) => values.map((value) => JSON.stringify(value)).join(" | ");
const comment = ({ description }: Schema, indent: string) =>
  description === undefined ? "" : `${indent}/** ${description} */\n`;

/** Whether values that a newer server answers are taken too: in what is answered, and not in what is asked. */
let open = false;

/** The type of a schema, as TypeScript. */
function typeOf(schema: Schema): string {
  if (schema.$ref !== undefined) return schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined)
    return open ? `${literals(schema.enum)} | (string & {})` : literals(schema.enum);
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeOf).join(" | ");
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ ...schema, type })).join(" | ");
  switch (schema.type) {
    case "string":
      return "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
    case "null":
      return schema.type;
    case "array":
      return `Array<${typeOf(schema.items ?? {})}>`;
    case "object":
      return Object.keys(schema.properties ?? {}).length === 0
        ? recordOf(schema)
        : `{\n${membersOf(schema)}}`;
    case undefined:
      return "unknown";
    default:
      throw new Error(`No TypeScript for ${JSON.stringify(schema)}`);
  }
}

function recordOf({ additionalProperties: further }: Schema): string {
  if (further === false) return "Record<string, never>";
  return `Record<string, ${typeof further === "object" ? typeOf(further) : "unknown"}>`;
}

function membersOf({ properties = {}, required = [], additionalProperties }: Schema): string {
  const members = Object.entries(properties).map(([name, schema]) => {
    const optional = required.includes(name) ? "" : "?";
    const absent = optional === "" ? "" : " | undefined";
    return `${comment(schema, "  ")}  ${name}${optional}: ${typeOf(schema)}${absent};\n`;
  });
  const open = typeof additionalProperties === "object" && Object.keys(additionalProperties).length === 0;
  return members.join("") + (open ? "  [key: string]: unknown;\n" : "");
}

function declaration(name: string, schema: Schema): string {
  // What is named and open has a closed twin, for arguments.
  if (open && schema.enum !== undefined) {
    const known = `/** The values of ${name} that this version knows. */\nexport type Known${name} = ${literals(schema.enum)};\n`;
    return `${known}\n${comment(schema, "")}export type ${name} = Known${name} | (string & {});\n`;
  }
  const type = typeOf(schema);
  const body = type.startsWith("{") ? `interface ${name} ${type}` : `type ${name} = ${type};`;
  return `${comment(schema, "")}export ${body}\n`;
}

/** The named schemas that what is asked consists of. */
function askedFor(document: unknown, schemas: Record<string, Schema>): Set<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const name = (value as Schema).$ref?.match(/^#\/components\/schemas\/(.+)$/)?.[1];
    if (name !== undefined && !found.has(name)) {
      found.add(name);
      visit(schemas[name]);
    }
    Object.values(value).forEach(visit);
  };
  visit(document);
  return found;
}

function text(): string {
  const { components, paths } = openApi(routes) as unknown as {
    components: { schemas: Record<string, Schema> };
    paths: Record<
      string,
      Record<
        string,
        { operationId?: string; requestBody?: unknown; parameters?: (Schema & { name: string })[] }
      >
    >;
  };
  const operations = Object.values(paths).flatMap((path) => Object.values(path));
  const asked = askedFor(
    operations.map(({ requestBody }) => requestBody),
    components.schemas,
  );
  const parts = Object.entries(components.schemas).map(([name, schema]) => {
    open = !asked.has(name);
    return declaration(name, schema);
  });
  open = false;
  for (const [operationId, name] of Object.entries(queries)) {
    const parameters =
      operations.find((operation) => operation.operationId === operationId)?.parameters ?? [];
    const properties = parameters
      .filter((parameter) => parameter.$ref === undefined)
      .map(({ name, schema, description }): [string, Schema] => [
        name,
        { ...schema, ...(description === undefined ? {} : { description }) },
      ]);
    parts.push(declaration(name, { type: "object", properties: Object.fromEntries(properties) }));
  }
  parts.push(`/** Every code that the API answers with. */
export const API_ERROR_CODES = ${JSON.stringify(Object.keys(errorCodes))} as const;

export type ApiErrorCode = (typeof API_ERROR_CODES)[number];\n`);
  return `// Generated from the contract by scripts/sdk-types.ts: do not edit.\n\n${parts.join("\n")}`;
}

const formatted = spawnSync(
  `${root}node_modules/.bin/biome`,
  ["format", "--stdin-file-path=packages/sdk/src/contract.ts"],
  { cwd: root, input: text(), encoding: "utf8" },
);
if (formatted.status !== 0) throw new Error(`biome could not format the types: ${formatted.stderr}`);

if (!values.check) {
  writeFileSync(file, formatted.stdout);
} else if (readFileSync(file, "utf8") !== formatted.stdout) {
  console.error(
    "packages/sdk/src/contract.ts is not what the contract says: run `node scripts/sdk-types.ts` and commit it",
  );
  process.exitCode = 1;
}
