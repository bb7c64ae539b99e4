// Reads secrets from env files.

import { readFile } from "node:fs/promises";
import { CliError, codeOf } from "../errors.ts";
import { EnvSyntaxError, parseEnvLines } from "./env-lines.ts";

/**
 * Secrets from a file of `NAME=value` lines.
 * @throws CliError when the file cannot be read, has a line that is no assignment, or holds none
 */
export async function readEnvFile(file: string): Promise<Record<string, string>> {
  const text = await readText(file);
  const values = parse(text, file);
  if (Object.keys(values).length === 0)
    throw new CliError("invalid", `${file} has no line of the form NAME=value.`, { code: "EMPTY_FILE" });
  return values;
}

function parse(text: string, file: string): Record<string, string> {
  try {
    return parseEnvLines(text);
  } catch (error) {
    if (!(error instanceof EnvSyntaxError)) throw error;
    throw new CliError("invalid", `${file}: ${error.message}. Nothing was set.`, { code: "BAD_FILE" });
  }
}

/** Bytes as text: UTF-8, or UTF-16 where its mark says so, as Windows PowerShell's `>` writes it. */
function decoded(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  return bytes.toString("utf8");
}

/**
 * A file's text.
 * @throws CliError, one sentence, when it cannot be read
 */
export async function readText(file: string): Promise<string> {
  try {
    return decoded(await readFile(file));
  } catch (error) {
    const reasons: Record<string, string> = {
      ENOENT: "there is no such file",
      EISDIR: "it is a folder",
      EACCES: "this user may not read it",
    };
    const code = codeOf(error) ?? "";
    throw new CliError("invalid", `${file} cannot be read: ${reasons[code] ?? code}.`, {
      code: "BAD_FILE",
      cause: error,
    });
  }
}
