// Optional fields take undefined, so that programs with exactOptionalPropertyTypes can pass on what they may not have.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";

/** The text up to the end of a type, and what ends it: `;` for a field, `,` or `)` for an argument. */
function typeAt(text: string, start: number): { type: string; end: string | undefined } {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const sign = text[at]!;
    if (depth === 0 && /[;,)=]/.test(sign) && text[at + 1] !== ">") {
      return { type: text.slice(start, at), end: sign };
    }
    if (/[({[<]/.test(sign)) depth += 1;
    if (/[)}\]]/.test(sign) || (sign === ">" && text[at - 1] !== "=")) depth -= 1;
  }
  return { type: text.slice(start), end: undefined };
}

test("every optional field of every type accepts undefined", () => {
  const strict: string[] = [];
  let fields = 0;
  for (const file of globSync("**/*.ts", { cwd: import.meta.dirname })) {
    if (file.endsWith(".test.ts")) continue;
    const text = readFileSync(join(import.meta.dirname, file), "utf8");
    for (const found of text.matchAll(/(\w+)\?: ?/g)) {
      const { type, end } = typeAt(text, found.index + found[0].length);
      if (end !== ";") continue;
      fields += 1;
      if (!/\bundefined\s*$|^\s*unknown$/.test(type)) strict.push(`${file}: ${found[1]}`);
    }
  }
  assert.ok(fields > 200, `${fields} fields`);
  assert.deepEqual(strict, []);
});
