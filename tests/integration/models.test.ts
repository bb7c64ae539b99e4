// Models that their providers retire: refused with their successor, warned of, and never a default.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { DEFAULT_MODELS } from "../../packages/agent-runtime/src/engines/model/providers.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

before(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
});
after(() => db.destroy());

const sql = async (text: string, values: unknown[] = []) => (await db.pool.query(text, values)).rows;
const launch = async (definition: Record<string, unknown>) => {
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: { agentName: "Bot", character: { bio: "A bot." }, ...definition },
  });
  return body;
};
const statusOf = async (id: string) =>
  (await rpc(db, user(alice), "get_agent_status", { agent_id: id })).body.conditions;

describe("the catalogue", () => {
  test("has living defaults, the same as the runtime's", async () => {
    const rows = await sql(
      `select f.name, f.default_model, m.retires_at from public.frameworks f
       join public.models m on m.framework = f.name and m.name = f.default_model`,
    );
    assert.deepEqual(Object.fromEntries(rows.map((row) => [row.name, row.default_model])), DEFAULT_MODELS);
    for (const { name, retires_at } of rows) assert.equal(retires_at, null, name);
  });

  test("names successors that it has and that stay", async () => {
    const lost = await sql(
      `select m.name from public.models m left join public.models s on s.framework = m.framework and s.name = m.successor
       where m.retires_at is not null and (s.name is null or s.retires_at is not null)`,
    );
    assert.deepEqual(lost, []);
  });
});

describe("a retired model", () => {
  test("is refused at creation, by launch and by row, with its successor", async () => {
    const refusal = /claude-3-7-sonnet-20250219 was retired .+ use claude-sonnet-4-6/;
    const model = { framework: "anthropic", model: "claude-3-7-sonnet-20250219" };
    const refused = await launch(model);
    assert.equal(refused.code, "INVALID_MODEL");
    assert.match(refused.message, refusal);
    await assert.rejects(
      sql("insert into public.agents (user_id, name, framework, model) values ($1, 'Bot', $2, $3)", [
        alice,
        model.framework,
        model.model,
      ]),
      refusal,
    );
  });

  test("of the specifications' samples is taken, with a warning and in the status", async () => {
    const message =
      "Model claude-sonnet-4-20250514 was retired by its provider on 2026-06-15; use claude-sonnet-4-6";
    const { agentId, warnings } = await launch({ framework: "anthropic", model: "claude-sonnet-4-20250514" });
    assert.deepEqual(warnings, [{ field: "model", message }]);
    assert.deepEqual(await statusOf(agentId), [
      { type: "ModelReady", status: "False", reason: "MODEL_RETIRED", message },
    ]);
  });

  test("is warned of ahead, and stays with whom it has when an operator retires it", async () => {
    await sql(
      "insert into public.models (framework, name, retires_at, successor) values ('openai', 'gone', current_date + 1, 'gpt-4o')",
    );
    const { agentId, warnings } = await launch({ model: "gone" });
    assert.match(warnings[0].message, /is retired by its provider on .+; use gpt-4o/);
    await sql("update public.models set retires_at = current_date where name = 'gone'");
    const { status } = await rpc(db, user(alice), "update_agent", {
      agent_id: agentId,
      changes: { settings: { temperature: 0.1 } },
    });
    assert.equal(status, 202);
    assert.equal((await statusOf(agentId)).at(-1).reason, "MODEL_RETIRED");
    assert.match((await launch({ model: "gone" })).message, /was retired/);
  });

  test("that nobody retires is not spoken of", async () => {
    const { agentId, warnings } = await launch({ framework: "google" });
    assert.deepEqual(warnings, []);
    assert.deepEqual(await statusOf(agentId), []);
  });
});
