// Reads agent definitions from JSON or YAML files.

import { basename } from "node:path";
import type { LineCounter as Lines, Document as YamlDocument } from "yaml";
import { CliError } from "../errors.ts";
import { readText } from "./env-file.ts";
import { readStdin } from "./stdin.ts";

/** A definition, and where its fields stand. */
export interface Definition {
  value: Record<string, unknown>;
  /** `file:line` of a field such as `scaling_policy.target_cpu`, or of the nearest thing around it. */
  locate(field: string): string | undefined;
}

/**
 * Reads a definition, or a bare elizaOS character file as the definition of an agent with its name. JSON, or YAML where the
 * file's name or its first character says so.
 * @param file a path, or `-` for stdin
 * @throws CliError naming file and line when it cannot be read or understood
 */
export async function readDefinition(file: string): Promise<Definition> {
  const name = file === "-" ? "stdin" : basename(file);
  const text = file === "-" ? await readStdin() : await readText(file);
  return await parseDefinition(text, name);
}

/**
 * As readDefinition, of a text. JSON is read as YAML too, which tells the line of everything.
 * @param text the definition
 * @param name what errors call it
 * @param form `json` where nothing else is taken. Left out: as the name, or the text, tells
 */
export async function parseDefinition(text: string, name: string, form?: "json"): Promise<Definition> {
  const { locate, value: given } = await parseObject(text, name, AN_AGENT, form);
  if (!isCharacterFile(given)) return { value: given, locate };
  return {
    value: { agentName: given.name, character: given },
    locate: (field) => locate(field.replace(/^character\./, "")),
  };
}

/**
 * Reads any object as JSON or YAML.
 * @param file a path, or `-` for stdin
 * @param what it is, for errors: `a class`
 * @throws CliError naming file and line when it cannot be read or understood
 */
export async function readObject(file: string, what: string): Promise<Definition> {
  const name = file === "-" ? "stdin" : basename(file);
  const text = file === "-" ? await readStdin() : await readText(file);
  return await parseObject(text, name, `does not describe ${what}: it must be an object`);
}

const AN_AGENT = "does not describe an agent: it must be an object with fields such as agentName";

async function parseObject(
  text: string,
  name: string,
  otherwise: string,
  form?: "json",
): Promise<Definition> {
  const { LineCounter, parseDocument } = await import("yaml");
  const json = form === "json" || /\.json$/i.test(name) || /^\s*\{/.test(text);
  if (json) refuseJson(text, name); // its own words, and nothing that only YAML forgives
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: "1.2",
    schema: json ? "json" : "core",
  });
  const problem = document.errors[0];
  if (problem) {
    const why = problem.message.split(/ at line |\n/)[0]?.replace(/[:.]$/, "") ?? "";
    throw wrong(placeOf(name, problem.linePos?.[0].line), `is not valid ${json ? "JSON" : "YAML"}: ${why}`);
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    throw wrong(name, `cannot be read: ${messageOf(error)}`); // aliases without end
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(name, otherwise);
  return {
    value: value as Record<string, unknown>,
    locate(field) {
      const line = lineOf(document, lines, field);
      return line === undefined ? undefined : `${name}:${line}`;
    },
  };
}

/** Whether a file is an elizaOS character itself rather than a definition that holds one. */
const isCharacterFile = (value: Record<string, unknown>): boolean =>
  "name" in value &&
  !("agentName" in value || "character" in value) &&
  CHARACTER_KEYS.some((key) => key in value);
const CHARACTER_KEYS =
  "bio lore style messageExamples postExamples modelProvider clients adjectives topics".split(" ");

function refuseJson(text: string, name: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    const message = messageOf(error);
    const position = /position (\d+)/.exec(message)?.[1];
    const line = position === undefined ? undefined : text.slice(0, Number(position)).split("\n").length;
    const why = message.split(/ in JSON at |, \.*"| at position /)[0];
    throw wrong(placeOf(name, line), `is not valid JSON: ${why || "it ends too early"}`);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const placeOf = (name: string, line: number | undefined): string =>
  line === undefined ? name : `${name}:${line}`;

const wrong = (place: string, why: string) =>
  new CliError("invalid", `${place} ${why}.`, { code: "BAD_FILE" });

/** The line of a field, by its key; of the innermost one around it where the field itself is missing. */
function lineOf(document: YamlDocument.Parsed, lines: Lines, field: string): number | undefined {
  const steps = field.split(/\.|\[(\d+)\]/).filter((step) => step !== undefined && step !== "");
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const step of steps) {
    const found = childOf(node, step);
    if (!found) break;
    offset = found.offset ?? offset;
    node = found.node;
  }
  return offset === undefined ? undefined : lines.linePos(offset).line;
}

/** A child of a YAML map or sequence: its node, and where its key (or itself) begins. */
function childOf(parent: unknown, step: string): { node: unknown; offset: number | undefined } | undefined {
  if (typeof parent !== "object" || parent === null || !("items" in parent) || !Array.isArray(parent.items))
    return undefined;
  const items: unknown[] = parent.items;
  for (const item of items) {
    if (
      typeof item === "object" &&
      item !== null &&
      "key" in item &&
      "value" in item &&
      keyText(item.key) === step
    )
      return { node: item.value, offset: startOf(item.key) };
  }
  const element = /^\d+$/.test(step) ? items[Number(step)] : undefined;
  return element === undefined || (typeof element === "object" && element !== null && "key" in element)
    ? undefined
    : { node: element, offset: startOf(element) };
}

const keyText = (key: unknown): string | undefined =>
  typeof key === "object" && key !== null && "value" in key ? String(key.value) : undefined;

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node) || !Array.isArray(node.range))
    return undefined;
  const start: unknown = node.range[0];
  return typeof start === "number" ? start : undefined;
}

/**
 * Adds to a validation error where each wrong field stands.
 * @param error what the API said
 * @param definition what was sent
 * @param what it is
 */
export function withLocations(error: CliError, definition: Definition, what = "The definition"): CliError {
  if (error.outcome !== "invalid" || !error.details) return error;
  const lineOfField = (field: string) => Number(definition.locate(field)?.split(":").at(-1) ?? 0);
  const fields = Object.keys(error.details).sort((a, b) => lineOfField(a) - lineOfField(b));
  const details = Object.fromEntries(fields.map((field) => [field, error.details?.[field]]));
  const locations: Record<string, string> = {};
  for (const field of fields) {
    const place = definition.locate(field);
    if (place !== undefined) locations[field] = place;
  }
  const { code, requestId, cause } = error;
  const message = `${what} has ${fields.length === 1 ? "a wrong field" : `${fields.length} wrong fields`}.`;
  return new CliError("invalid", message, { code, details, locations, requestId, cause });
}
