import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { cut } from "./cut.ts";

const all = (text: string, title?: string) => [...cut(text, title)];

test("a short text is one chunk; an empty one is none", () => {
  assert.deepEqual(all("Refunds take thirty days."), [{ content: "Refunds take thirty days." }]);
  assert.deepEqual(all(" \n\n\t "), []);
});

test("paragraphs go together until a chunk is full, and none is cut that fits", () => {
  const paragraphs = Array.from({ length: 10 }, (_, n) => `${n}${"x".repeat(299)}`);
  const chunks = all(paragraphs.join("\n\n"));
  assert.deepEqual(
    chunks.map(({ content }) => content.split("\n\n").length),
    [3, 3, 3, 1],
  );
});

test("a chunk has the Markdown headings it stands under; code is no heading", () => {
  const text = "# Shop\nHello\n## Refunds\nThirty days\n### EU\nForty\n## Hours\n```sh\n# comment\n```";
  assert.deepEqual(all(text), [
    { heading: "Shop", content: "Hello" },
    { heading: "Shop › Refunds", content: "Thirty days" },
    { heading: "Shop › Refunds › EU", content: "Forty" },
    { heading: "Shop › Hours", content: "```sh\n# comment\n```" },
  ]);
});

test("the title of a table stands above each of its chunks", () => {
  const rows = Array.from({ length: 300 }, (_, n) => `${n};chair;${n * 10}`);
  const chunks = all(["id;name;price", ...rows].join("\n"), "id;name;price");
  assert.ok(chunks.length > 1);
  for (const { heading } of chunks) assert.equal(heading, "id;name;price");
  assert.equal(chunks.map(({ content }) => content).join("\n"), ["id;name;price", ...rows].join("\n"));
});

test("a long paragraph is cut at a sentence, a line without spaces at any character", () => {
  const sentences = all("This is a sentence of forty characters.. ".repeat(60));
  for (const { content } of sentences) assert.ok(content.endsWith("."), content.slice(-20));
  const run = all("漢".repeat(3000));
  assert.equal(run.map(({ content }) => content).join(""), "漢".repeat(3000));
});

test("any text: no chunk beyond 4,000 bytes, none blank, no half character, no letter lost", () => {
  const letters = (text: string) => text.replaceAll(/[\s\p{Cc}\uFEFF\u2028\u2029]/gu, "");
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.string({ unit: "binary", maxLength: 3000 }),
          fc.constantFrom("\n\n", "😀".repeat(900), "a ".repeat(900)),
        ),
      ),
      (parts) => {
        const text = parts.join("").replaceAll("#", "-"); // no heading: what stands above a chunk is not in it
        const chunks = all(text);
        for (const { content, heading } of chunks) {
          assert.ok(Buffer.byteLength(content) <= 4000);
          assert.ok(content.trim() !== "" && content.isWellFormed() && !content.includes("\0"));
          assert.ok(Buffer.byteLength(heading ?? "") <= 800);
        }
        assert.equal(letters(chunks.map(({ content }) => content).join("")), letters(text.toWellFormed()));
      },
    ),
    { numRuns: 200 },
  );
});
