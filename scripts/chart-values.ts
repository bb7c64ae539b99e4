// Writes what the comments of the chart's values.yaml say into values.schema.json (for editors, and Helm's errors stay beside it)
// and into docs/chart-values.md, and the defaults themselves into files/defaults.yaml, where templates can read them; `--check`
// only compares. Where a value stands without a comment, it fails.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from "yaml";

const root = resolve(import.meta.dirname, "..");
const VALUES = "deploy/chart/values.yaml";
const SCHEMA = "deploy/chart/values.schema.json";
const PAGE = "docs/chart-values.md";
const DEFAULTS = "deploy/chart/files/defaults.yaml";
/** Without a value these are left out of the objects: OpenShift wants no security context, some no limit of memory. */
const OPTIONAL = /(SecurityContext|^resources)$/;

interface Schema {
  $ref?: string;
  description?: string;
  properties?: Record<string, Schema>;
}

type Values = Record<string, unknown>;

interface Row {
  name: string;
  default: unknown;
  words: string;
}

const schema = JSON.parse(readFileSync(resolve(root, SCHEMA), "utf8")) as Schema & {
  definitions: Record<string, Schema>;
};
const document = parseDocument(readFileSync(resolve(root, VALUES), "utf8"));
const rows: Row[] = [];
const problems: string[] = [];
describe(document.contents as YAMLMap, schema, "");
if (problems.length > 0) fail(problems.join("\n"));

write(SCHEMA, formatted(JSON.stringify(schema, null, 2)));
write(PAGE, page(rows));
write(
  DEFAULTS,
  `# Written by scripts/chart-values.ts from values.yaml: what a missing value means (templates/_defaults.tpl).
${defaultsOf(document.toJSON() as Values, schema, [])
  .map((one) => `- ${JSON.stringify(one)}\n`)
  .join("")}`,
);

/** Walks values and schema together. A map of named values is described value by value, any other by its own comment. */
function describe(values: YAMLMap, at: Schema, path: string): void {
  const fields = propertiesOf(at) ?? {};
  values.items.forEach((pair, index) => {
    const name = String((pair.key as { value: unknown }).value);
    const field = fields[name];
    if (field === undefined) {
      problems.push(`${VALUES}: ${path}${name} is not in ${SCHEMA}`);
      return;
    }
    const words = commentOf(values, pair, index);
    const inner = pair.value;
    if (
      isMap(inner) &&
      propertiesOf(field) !== undefined &&
      inner.items.some((one, at) => commentOf(inner, one, at) !== undefined)
    ) {
      if (words !== undefined) field.description = words;
      describe(inner, field, `${path}${name}.`);
      return;
    }
    if (words === undefined) problems.push(`${VALUES}: ${path}${name} has no comment`);
    field.description = words ?? "";
    const value = (inner as { toJSON?: () => unknown } | null)?.toJSON?.() ?? null;
    rows.push({ name: `${path}${name}`, default: value, words: words ?? "" });
  });
}

/** Each value that has a default, by its path. A map that takes any field is one value. */
function defaultsOf(values: Values, at: Schema, path: string[]): { at: string[]; value: unknown }[] {
  return Object.entries(values).flatMap(([name, value]) => {
    const field = at.properties?.[name];
    const isOpen = typeof value === "object" && value !== null && field?.properties !== undefined;
    if (value === null || OPTIONAL.test(name)) return [];
    if (isOpen) return defaultsOf(value as Values, field, [...path, name]);
    return [{ at: [...path, name], value }];
  });
}

function propertiesOf(one: Schema): Record<string, Schema> | undefined {
  if (one.properties !== undefined) return one.properties;
  const name = one.$ref?.split("/").at(-1) ?? "";
  const shared = schema.definitions[name]?.properties;
  if (shared === undefined) return undefined;
  // Each place has words of its own: the definition is written out.
  const { $ref: _, ...rest } = one;
  Object.assign(one, structuredClone(schema.definitions[name]), rest);
  delete one.$ref;
  return one.properties;
}

/** The comment above a value; above the first of a map it is the map's. */
function commentOf(map: YAMLMap, { key }: Pair, index: number): string | undefined {
  const own = isScalar(key) ? key.commentBefore : undefined;
  const comment = own ?? (index === 0 ? map.commentBefore : undefined);
  return comment
    ?.split("\n")
    .map((line) => line.trim())
    .join(" ")
    .trim();
}

function page(all: Row[]): string {
  const lines = all.map(({ name, default: value, words }) => {
    const shown = value === "" || value === null ? "" : `\`${JSON.stringify(value).replaceAll("|", "\\|")}\``;
    return `| \`${name}\` | ${shown} | ${words.replaceAll("|", "\\|").replaceAll("<", "&lt;")} |`;
  });
  return `<!-- Written by scripts/chart-values.ts from deploy/chart/values.yaml. -->
# Values of the chart

Install it as [operations](operations.md#install) says. A value that is misspelt or of the wrong form is refused with its place.
A value that is missing or \`null\` has its default, also with \`helm upgrade --reuse-values\`, where values of a newer chart are missing.
\`resources\` and the security contexts are the exception: \`null\` leaves them, or one field of them, out.
[Variants of Kubernetes](kubernetes-variants.md): OpenShift, IPv6, private certificate authorities, registries with a login.

| value | default | what it is |
|---|---|---|
${lines.join("\n")}
`;
}

function formatted(text: string): string {
  const { status, stdout, stderr } = spawnSync(
    resolve(root, "node_modules/.bin/biome"),
    ["format", `--stdin-file-path=${SCHEMA}`],
    { cwd: root, input: text, encoding: "utf8" },
  );
  if (status !== 0) fail(stderr);
  return stdout;
}

function write(name: string, text: string): void {
  const file = resolve(root, name);
  if (!process.argv.includes("--check")) writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) fail(`${name} is not current: node scripts/chart-values.ts`);
}

function fail(words: string): never {
  process.stderr.write(`${words}\n`);
  process.exit(1);
}
