// Characters of every official form: SQL and the contract accept the same, and refuse the same fields in the same words.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { readCharacter } from "../../packages/agent-runtime/src/character.ts";
import { character } from "../../supabase/functions/_shared/contract/character.ts";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.destroy());

const inSql = async (value: unknown): Promise<Record<string, string>> =>
  (await db.pool.query("select private.character_problems($1::jsonb) as problems", [JSON.stringify(value)]))
    .rows[0].problems;

function inContract(value: unknown): Record<string, string> {
  const issues = character.safeParse(value).error?.issues ?? [];
  return Object.fromEntries(issues.map(({ path, message }) => [["character", ...path].join("."), message]));
}

const chunk = { id: "2", documentId: "1", content: "Two and two" };
const accepted: [name: string, value: Record<string, unknown>][] = [
  ["an empty one", {}],
  ["nulls", { name: null, bio: null, style: null, knowledge: null, messageExamples: null }],
  [
    "texts",
    {
      name: "Ada",
      username: "ada",
      bio: "b",
      lore: "l",
      adjectives: "a",
      topics: "t",
      postExamples: "p",
      personality: "x",
    },
  ],
  [
    "lists",
    { bio: ["b"], lore: ["l"], adjectives: ["a"], topics: [], postExamples: ["p"], personality: ["x", "y"] },
  ],
  ["style of texts and lists", { style: { all: "a", chat: ["c"], post: null, further: 1 } }],
  [
    "knowledge of texts, files and folders",
    { knowledge: ["a", { path: "a.md", shared: true }, { directory: "d" }] },
  ],
  [
    "knowledge of items with their text",
    { knowledge: [{ id: "1", path: "a.md", content: "A" }, { text: "B" }] },
  ],
  [
    "knowledge as knowledge2character writes it",
    { knowledge: { documents: [{ id: "1", content: "A" }], chunks: [chunk] } },
  ],
  ["examples of elizaOS 0.x", { messageExamples: [[{ user: "{{user1}}", content: { text: "hi" } }]] }],
  [
    "examples of elizaOS 1.x",
    { messageExamples: [[{ name: "{{user1}}", content: { text: "hi", actions: ["A"] } }], []] },
  ],
  ["grouped examples", { messageExamples: [{ examples: [{ name: "a", content: { text: "hi" } }] }] }],
  [
    "further keys",
    { id: "x", templates: { a: "b" }, clients: [], modelProvider: "openai", settings: { voice: {} } },
  ],
];
for (const [name, value] of accepted) {
  test(`accepted: ${name}`, async () => {
    assert.deepEqual(await inSql(value), {});
    assert.deepEqual(inContract(value), {});
    readCharacter(value);
  });
}

const refused: [field: string, value: unknown][] = [
  ["character", "text"],
  ["character", []],
  ["character.name", { name: 5 }],
  ["character.name", { name: "x".repeat(201) }],
  ["character.username", { username: {} }],
  ["character.system", { system: ["a"] }],
  ["character.bio", { bio: { a: 1 } }],
  ["character.bio", { bio: ["a", 1] }],
  ["character.lore", { lore: { a: "b" } }],
  ["character.adjectives", { adjectives: [null] }],
  ["character.topics", { topics: 5 }],
  ["character.personality", { personality: {} }],
  ["character.postExamples", { postExamples: [[]] }],
  ["character.style", { style: "calm" }],
  ["character.style.chat", { style: { chat: [1] } }],
  ["character.style.all", { style: { all: {} } }],
  ["character.knowledge", { knowledge: 5 }],
  ["character.knowledge", { knowledge: [1] }],
  ["character.knowledge", { knowledge: [{ id: "1" }] }],
  ["character.knowledge", { knowledge: [{ content: 5 }] }],
  ["character.knowledge", { knowledge: {} }],
  ["character.knowledge", { knowledge: { documents: "x" } }],
  ["character.messageExamples", { messageExamples: "x" }],
  ["character.messageExamples", { messageExamples: {} }],
  ["character.messageExamples.0", { messageExamples: ["x"] }],
  ["character.messageExamples.0", { messageExamples: [["x"]] }],
  ["character.messageExamples.0", { messageExamples: [{ examples: "x" }] }],
];
for (const [field, value] of refused) {
  test(`refused: ${JSON.stringify(value).slice(0, 60)}`, async () => {
    const problems = await inSql(value);
    assert.deepEqual(Object.keys(problems), [field]);
    if (field !== "character") assert.deepEqual(inContract(value), problems);
    else assert.deepEqual(Object.keys(inContract(value)), [field]);
    // Rows from before this rule still start.
    readCharacter(value);
  });
}
