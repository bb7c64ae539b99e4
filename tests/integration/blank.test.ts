// What counts as an empty text: SQL and the contract agree on every character, and every door refuses it.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { isBlank } from "../../supabase/functions/_shared/contract/blank.ts";
import { codeOf, people } from "../helpers/answering.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;
const { agent, say } = people(
  () => db,
  () => alice,
);
beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
});
afterAll(() => db.destroy());

test("SQL and the contract call the same characters blank", async () => {
  const { rows } = await db.pool.query<{ code: number }>(
    `select code from generate_series(1, 1114111) code
     where code not between 55296 and 57343 and private.is_blank(chr(code))`,
  );
  const contract = Array.from({ length: 1_114_111 }, (_, index) => index + 1).filter(
    (code) => (code < 0xd800 || code > 0xdfff) && isBlank(String.fromCodePoint(code)),
  );
  assert.deepEqual(
    rows.map(({ code }) => code),
    contract,
  );
  assert.ok(contract.length > 90);
});

const blanks = {
  spaces: "  ",
  "a line break and a tab": "\n\t",
  "U+00A0": "\u00a0",
  "U+200B": "\u200b",
  "U+FEFF": "\ufeff",
  "U+3164": "\u3164",
  "U+1D173": "\u{1d173}",
};
for (const [name, content] of Object.entries(blanks)) {
  test(`a message of only ${name} is refused`, async () => {
    const to = { agent: await agent(`A ${name}`) };
    const { code, details } = await codeOf(say(to, content));
    assert.equal(code, "VALIDATION_ERROR");
    assert.deepEqual(details, { content: "Content is required" });
  });
  test(`an agent named with only ${name} is refused`, async () => {
    assert.deepEqual((await codeOf(agent(content))).details, { name: "Name is required" });
  });
}

test("text beside invisible characters is kept as it was written", async () => {
  const to = await agent("Ada");
  const content = "\u200b hi \ufe0f👩‍💻";
  await say({ agent: to }, content);
  const { rows } = await db.pool.query("select content from public.messages where to_agent_id = $1", [to]);
  assert.deepEqual(rows, [{ content }]);
});
