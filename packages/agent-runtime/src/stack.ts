// A stack in lines of the sources: the bundle's own lines mean nothing to a reader.
import { readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const OF_BUNDLE = /file:\/\/[^\s:()]+\.mjs:\d+:\d+/g;

/** An error's stack; undefined where what was thrown has none. */
export function stackOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || typeof error.stack !== "string") return undefined;
  const maps = new Map<string, SourceMap | undefined>();
  return error.stack.replaceAll(OF_BUNDLE, (place) => {
    const [, url = "", line = "", column = ""] = /^(.*):(\d+):(\d+)$/.exec(place) ?? [];
    const file = fileURLToPath(url);
    if (!maps.has(file)) maps.set(file, readMap(file));
    const found = maps.get(file)?.findEntry(Number(line) - 1, Number(column) - 1);
    if (found === undefined || !("originalSource" in found)) return place;
    return `${resolve(dirname(file), found.originalSource)}:${found.originalLine + 1}:${found.originalColumn + 1}`;
  });
}

/** The map beside a file; undefined without one. */
function readMap(file: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8")));
  } catch {
    return undefined;
  }
}
