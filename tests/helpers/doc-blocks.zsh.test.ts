// Command blocks are pasted into zsh too, the shell of macOS, which reads two things otherwise than a script does.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { glob } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "vitest";
import { commandBlocks } from "./doc-blocks.ts";

const root = join(import.meta.dirname, "../..");
const exclude = (path: string) => /(^|\/)(node_modules|\.[a-z]\w*)$/.test(path);
const pages = (await Array.fromAsync(glob("**/*.md", { cwd: root, exclude }))).sort();

/** What a block says outside of quotes and here-documents, line for line. */
function unquoted(text: string): string[] {
  const blank = (part: string) => part.replaceAll(/[^\n]/g, "Q");
  return text
    .replaceAll(/<<-?'?(\w+)'?\n[\s\S]*?\n\1\n/g, blank)
    .replaceAll(/'[^']*'|"(?:\\.|[^"\\])*"/g, blank)
    .split("\n");
}

/** Double-quoted words with `!`: interactive zsh takes it for an event of the history. */
const events = (text: string): string[] =>
  [...text.matchAll(/'[^']*'|"(?:\\.|[^"\\])*"/g)]
    .map(([word]) => word)
    .filter((word) => word.startsWith('"') && word.includes("!"));

/** The lines that interactive zsh refuses, or gives a command as arguments. */
function refused(text: string): string[] {
  // A comment is none there without INTERACTIVE_COMMENTS; a pattern without a match ends the command.
  return unquoted(text).filter((line) => /(^|\s)#|(?<![[$])[[?*](?!\[)/.test(line.replaceAll("[ ", "")));
}

test("a comment, an unquoted index and an unquoted query are refused; quoted ones are not", () => {
  for (const text of ["KEY=a  # note\n", "x | field [0].id\n", "curl $URL/a?b=c\n"])
    assert.equal(refused(text).length, 1, text);
  for (const text of ["x | field '[0].id'\n", 'curl "$URL/a?b=#c"\n', "cat <<'E'\n# a?\nE\n"])
    assert.deepEqual(refused(text), [], text);
});

describe("every command block can be pasted into zsh", () => {
  for (const page of pages) {
    const blocks = commandBlocks(readFileSync(join(root, page), "utf8"));
    if (blocks.length > 0)
      test(page, () =>
        assert.deepEqual(
          blocks.flatMap(({ text }) => [...refused(text), ...events(text)]),
          [],
        ),
      );
  }
});
