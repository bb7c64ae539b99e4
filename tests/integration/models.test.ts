// Models that their providers retire: refused with their successor, warned of, and never a default.
import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { DEFAULT_MODELS } from "../../packages/agent-runtime/src/engines/model/default-models.ts";
import { LASTING } from "../../packages/agent-runtime/src/meter.ts";
import type { TestDatabase } from "../helpers/database.ts";
import { anon, createUnlimitedDatabase, createUser, rpc, service, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let alice: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  alice = await createUser(db);
});
afterAll(() => db.destroy());

const sql = async (text: string, values: unknown[] = []) => (await db.pool.query(text, values)).rows;
const launch = async (definition: Record<string, unknown>) => {
  const { body } = await rpc(db, user(alice), "launch_agent", {
    definition: { agentName: "Bot", character: { bio: "A bot." }, ...definition },
  });
  return body;
};
const statusOf = async (id: string) =>
  (await rpc(db, user(alice), "get_agent_status", { agent_id: id })).body.conditions;

describe("another framework", () => {
  const frameworkAndModel = async (id: string) =>
    (await sql(`select framework, model from public.agents where id = '${id}'`))[0];
  for (const [title, model, becomes] of [
    ["brings its default model where the agent has the old default", undefined, "claude-sonnet-4-6"],
    ["is refused where the agent has chosen a model", "gpt-4o", undefined],
  ] as const)
    test(`${title}, by update and by a direct write`, async () => {
      for (const way of ["verb", "direct"] as const) {
        const { agentId } = await launch({ framework: "openai", ...(model && { model }) });
        const change: Promise<unknown> =
          way === "verb"
            ? rpc(db, user(alice), "update_agent", { agent_id: agentId, changes: { framework: "anthropic" } })
            : sql(`update public.agents set framework = 'anthropic' where id = '${agentId}'`);
        if (becomes === undefined) {
          const refused = await change.catch(({ message, detail }) => ({ message, detail }));
          assert.match(JSON.stringify(refused), /gpt-4o is not available for framework anthropic/, way);
          assert.equal((await frameworkAndModel(agentId))?.framework, "openai");
        } else {
          await change;
          assert.deepEqual(await frameworkAndModel(agentId), { framework: "anthropic", model: becomes }, way);
        }
      }
    });
});

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

describe("an unknown model", () => {
  const wordsFor = async (framework: string, model: string) => {
    const { code, message } = await launch({ framework, model });
    assert.equal(code, "INVALID_MODEL");
    return message;
  };

  test("misspelt: the refusal names the nearest that stay, and how an operator adds one", async () => {
    assert.equal(
      await wordsFor("openai", "gpt-6-lunar"),
      "Model gpt-6-lunar is not available for framework openai. Nearest: gpt-6-luna, gpt-5.6-luna, gpt-6-sol. " +
        "An operator can add it with `launchpad models add openai gpt-6-lunar`",
    );
    assert.doesNotMatch(await wordsFor("openai", "gpt-4-turbos"), /gpt-4-turbo,/);
  });

  test("like no other: the refusal names none, and repeats no odd text in the command", async () => {
    const odd = "x`; rm *";
    assert.equal(
      await wordsFor("openai", odd),
      `Model ${odd} is not available for framework openai. ` +
        "An operator can add it with `launchpad models add openai <name>`",
    );
  });

  test("of another framework: the refusal names that", async () => {
    assert.equal(
      await wordsFor("openai", "claude-sonnet-4-6"),
      "Model claude-sonnet-4-6 is not available for framework openai. It is a model of framework anthropic",
    );
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

describe("a setting that the model does not take", () => {
  const thinking = { framework: "openai", model: "gpt-6.1-sol" };
  const refusal = "Model gpt-6.1-sol does not take stop; remove it, or choose another model";

  test("is refused at a launch, by row and by change, with the field and the cure", async () => {
    const refused = await launch({ ...thinking, settings: { stop: ["END"], max_tokens: 200_000 } });
    assert.equal(refused.code, "VALIDATION_ERROR");
    assert.deepEqual(JSON.parse(refused.details), {
      "settings.stop": refusal,
      "settings.max_tokens": "Must be at most 128000 for model gpt-6.1-sol",
    });
    await assert.rejects(
      db.as(user(alice), (client) =>
        client.query(
          "insert into public.agents (name, framework, model, settings) values ('Bot', 'openai', 'gpt-6.1-sol', $1)",
          [{ stop: ["END"] }],
        ),
      ),
    );
    const { agentId } = await launch(thinking);
    const { body } = await rpc(db, user(alice), "update_agent", {
      agent_id: agentId,
      changes: { settings: { stop: ["END"] } },
    });
    assert.deepEqual(JSON.parse(body.details), { "settings.stop": refusal });
  });

  test("stays when the model is changed later, and is told in the status; other settings can be changed", async () => {
    const { agentId } = await launch({ model: "gpt-4o", settings: { stop: ["END"] } });
    const change = async (changes: object) =>
      (await rpc(db, user(alice), "update_agent", { agent_id: agentId, changes })).status;
    assert.equal(await change({ model: "gpt-6.1-sol" }), 202);
    assert.deepEqual(await statusOf(agentId), [
      { type: "ModelReady", status: "True", reason: "SETTING_IGNORED", message: refusal },
    ]);
    assert.equal(await change({ settings: { max_tokens: 900 } }), 202);
  });

  test("stays with who has it when the catalogue changes, may not be set again, and is told in the status", async () => {
    await sql("insert into public.models (framework, name) values ('openai', 'house-model')");
    const { agentId } = await launch({ model: "house-model", settings: { stop: ["END"] } });
    assert.deepEqual(await statusOf(agentId), []);
    await sql("update public.models set takes = '{temperature}' where name = 'house-model'");
    assert.deepEqual(await statusOf(agentId), [
      {
        type: "ModelReady",
        status: "True",
        reason: "SETTING_IGNORED",
        message: "Model house-model does not take stop; remove it, or choose another model",
      },
    ]);
    const change = async (changes: object) =>
      (await rpc(db, user(alice), "update_agent", { agent_id: agentId, changes })).status;
    assert.equal(await change({ description: "Still the same" }), 202);
    assert.equal(await change({ settings: { stop: ["OTHER"] } }), 400);
    assert.equal(await change({ settings: { stop: [] } }), 202);
    assert.deepEqual(await statusOf(agentId), []);
  });

  test("of the default model is taken with a warning: its agents never chose it", async () => {
    const { agentId, warnings } = await launch({ settings: { stop: ["END"], temperature: 0.7 } });
    const message = "Model gpt-6-luna does not take stop; remove it, or choose another model";
    assert.deepEqual(warnings, [{ field: "settings.stop", message }]);
    assert.equal((await statusOf(agentId))[0].reason, "SETTING_IGNORED");
  });

  test("of the elizaOS engine, which does not use it, is taken with a warning", async () => {
    const { warnings } = await launch({
      model: "gpt-4o",
      plugins: ["@elizaos/plugin-bootstrap"],
      settings: { stop: ["END"], presence_penalty: 0.5, frequency_penalty: 0 },
    });
    assert.deepEqual(
      warnings.map(({ field }: { field: string }) => field),
      ["model", "resources.memory", "settings.presence_penalty", "settings.stop"],
    );
    const none = await launch({ model: "gpt-4o", settings: { stop: ["END"], presence_penalty: 0.5 } });
    assert.deepEqual(
      none.warnings.map(({ field }: { field: string }) => field),
      ["model"],
    );
  });

  test("of a character file for another model is left out, with a warning", async () => {
    const { agentId, warnings } = await launch({
      ...thinking,
      character: { name: "Ada", settings: { temperature: 0.3, maxTokens: 500 } },
    });
    const { body } = await rpc(db, user(alice), "get_agent", { agent_id: agentId });
    assert.deepEqual(body.settings, { max_tokens: 500 });
    assert.deepEqual(warnings, [
      {
        field: "character.settings.temperature",
        message: "Model gpt-6.1-sol does not take temperature; remove it, or choose another model",
      },
    ]);
  });
});

describe("what becomes of calls", () => {
  const refusedBy = {
    code: "MODEL_REQUEST_REJECTED",
    message: "openai rejected the request (400). It says: no",
  };
  let agentId: string;
  const settle = async (item: object) => {
    const id = crypto.randomUUID();
    await sql("select private.reserve($1, $2, 'address', null, 10, 10, 60)", [id, agentId]);
    await sql("select private.settle($1, $2)", [agentId, JSON.stringify([{ id, ...item }])]);
  };
  const events = async () =>
    (
      await sql(
        "select event_type, message, details from public.agent_events where agent_id = $1 and event_type like 'MODEL_%' order by seq",
        [agentId],
      )
    ).map(({ event_type, message, details }) => [event_type, message, details.code]);
  beforeAll(async () => {
    ({ agentId } = await launch({}));
  });

  test("a reservation brings what the model takes", async () => {
    const [{ reserve }] = await sql(
      "select private.reserve(gen_random_uuid(), $1, 'address', null, 10, 10, 60) as reserve",
      [agentId],
    );
    assert.deepEqual(
      [reserve.facts.takes, reserve.facts.thinks, reserve.facts.api],
      [["temperature", "top_p"], "unless_sampled", "responses"],
    );
  });

  test("a refusal is the condition ModelReady and one event, in the provider's words", async () => {
    await settle({ unused: true, refused: refusedBy });
    await settle({
      unused: true,
      refused: { ...refusedBy, message: "openai rejected the request (400). Again" },
    });
    assert.deepEqual(await statusOf(agentId), [
      {
        type: "ModelReady",
        status: "False",
        reason: "MODEL_REQUEST_REJECTED",
        message: "openai rejected the request (400). Again",
      },
    ]);
    assert.deepEqual(await events(), [["MODEL_REFUSED", refusedBy.message, "MODEL_REQUEST_REJECTED"]]);
  });

  test("a good answer makes it True again, once; an unused reservation says nothing", async () => {
    await settle({ unused: true });
    assert.equal((await statusOf(agentId))[0].status, "False");
    await settle({ inputTokens: 5, outputTokens: 5 });
    await settle({ inputTokens: 5, outputTokens: 5 });
    assert.deepEqual(await statusOf(agentId), [
      { type: "ModelReady", status: "True", reason: "MODEL_ANSWERS", message: "The model answers again" },
    ]);
    assert.equal((await events()).filter(([type]) => type === "MODEL_ANSWERS").length, 1);
  });

  test("an hour later it is no longer news", async () => {
    const shift = (by: string) =>
      db.pool.query(
        "update private.model_states set changed_at = changed_at + $2::interval where agent_id = $1",
        [agentId, by],
      );
    await shift("-1 hour");
    assert.deepEqual(await statusOf(agentId), []);
    await shift("1 hour");
  });

  test("calls that are refused and answered by turns do not fill the log", async () => {
    const count = (await events()).length;
    for (let turn = 0; turn < 5; turn++) {
      await settle({ unused: true, refused: refusedBy });
      await settle({ inputTokens: 5, outputTokens: 5 });
    }
    assert.equal((await events()).length, count);
  });

  test("every failure that a runtime calls lasting is a condition", async () => {
    for (const code of LASTING) {
      await settle({ unused: true, refused: { code, message: "no" } });
      assert.deepEqual((await statusOf(agentId))[0].reason, code);
    }
    await settle({ inputTokens: 5, outputTokens: 5 });
  });

  test("a refusal of an unknown code, or of another shape, changes nothing", async () => {
    await settle({ unused: true, refused: { code: "WHATEVER", message: "x" } });
    await settle({ unused: true, refused: {} });
    assert.equal((await statusOf(agentId))[0].reason, "MODEL_ANSWERS");
  });

  test("is the owner's to read alone, and not to write by a forged credential", async () => {
    const bob = await createUser(db);
    for (const caller of [user(bob), anon]) {
      const { status } = await rpc(db, caller, "get_agent_status", { agent_id: agentId });
      assert.ok(status >= 401, String(status));
    }
    const settled = [{ id: crypto.randomUUID(), unused: true, refused: refusedBy }];
    for (const caller of [anon, user(bob)]) {
      const args = { agent_id: agentId, credential: "forged", settled };
      assert.ok((await rpc(db, caller, "settle_model_calls", args)).status >= 401);
    }
    assert.equal((await statusOf(agentId))[0].reason, "MODEL_ANSWERS");
  });
});

describe("the catalogue's rows", () => {
  test("are everybody's to read and the operators' to write", async () => {
    for (const caller of [anon, user(alice)]) {
      const { rows } = await db.as(caller, (client) =>
        client.query("select takes from public.models where name = 'gpt-4o'"),
      );
      assert.equal(rows[0].takes.length, 5);
      for (const statement of [
        "insert into public.models (framework, name) values ('openai', 'mine')",
        "update public.models set takes = '{}'",
        "delete from public.models",
      ]) {
        await assert.rejects(
          db.as(caller, (client) => client.query(statement)),
          /permission denied/,
        );
      }
    }
  });
});

describe("operators", () => {
  const put = (model: object) => rpc(db, service, "put_model", { model });
  const retire = (args: object) => rpc(db, service, "retire_model", { framework: "openai", ...args });

  test("add a model with its facts and price, and change the named parts of it", async () => {
    const { body } = await put({
      framework: "openai",
      name: "added/model:1",
      takes: ["temperature"],
      max_output_tokens: 8000,
      thinks: "never",
      calls_tools: false,
      price: { inputMicros: 100_000, outputMicros: 500_000 },
    });
    assert.deepEqual([body.takes, body.max_output_tokens, body.calls_tools], [["temperature"], 8000, false]);
    assert.deepEqual(body.price, { inputMicros: 100_000, outputMicros: 500_000, cachedInputMicros: 100_000 });
    const { body: changed } = await put({
      framework: "openai",
      name: "added/model:1",
      max_output_tokens: 9000,
    });
    assert.deepEqual([changed.takes, changed.max_output_tokens], [["temperature"], 9000]);
    const refused = await launch({ model: "added/model:1", settings: { stop: ["END"] } });
    assert.equal(refused.code, "VALIDATION_ERROR");
  });

  test("make a model the default, which agents then get", async () => {
    await put({ framework: "google", name: "gemini-new", default: true });
    const { agentId } = await launch({ framework: "google" });
    const { body } = await rpc(db, user(alice), "get_agent", { agent_id: agentId });
    assert.equal(body.model, "gemini-new");
    assert.equal(
      (await put({ framework: "google", name: "gemini-3.5-flash", default: true })).body.default,
      true,
    );
  });

  test("are told each wrong field with what it must be", async () => {
    const { status, body } = await put({
      framework: "nobody",
      name: " ",
      takes: ["colour"],
      max_output_tokens: 0,
      max_temperature: 3,
      max_stops: 99,
      thinks: "sometimes",
      api: "carrier pigeon",
      price: { inputMicros: -1, outputMicros: 1 },
    });
    assert.equal(status, 400);
    assert.deepEqual(Object.keys(JSON.parse(body.details)).sort(), [
      "model.api",
      "model.framework",
      "model.max_output_tokens",
      "model.max_stops",
      "model.max_temperature",
      "model.name",
      "model.price",
      "model.takes",
      "model.thinks",
    ]);
    const typed = await put({ framework: 1, takes: "stop", colour: "red" });
    assert.deepEqual(Object.keys(JSON.parse(typed.body.details)).sort(), [
      "model.colour",
      "model.framework",
      "model.name",
      "model.takes",
    ]);
  });

  test("retire a model with a living successor, and take it back; never a default", async () => {
    await put({ framework: "openai", name: "leaving" });
    await launch({ model: "leaving" });
    const { body } = await retire({ name: "leaving", retires_at: "2026-01-01", successor: "gpt-6-luna" });
    assert.deepEqual([body.retires_at, body.successor, body.agents], ["2026-01-01", "gpt-6-luna", 1]);
    assert.match(
      (await launch({ model: "leaving" })).message,
      /was retired by its provider on 2026-01-01; use gpt-6-luna/,
    );
    assert.equal(
      (await retire({ name: "leaving", retires_at: "2026-01-01", still_taken: true })).status,
      200,
    );
    assert.equal((await launch({ model: "leaving" })).status, "QUEUED");
    assert.equal((await retire({ name: "leaving", retires_at: null })).body.retires_at, null);
    for (const [args, code, field] of [
      [{ name: "never-was", retires_at: "2027-01-01" }, "NOT_FOUND", "name"],
      [{ name: "gpt-6-luna", retires_at: "2027-01-01" }, "VALIDATION_ERROR", "name"],
      [{ name: "leaving", retires_at: "2027-01-01", successor: "gpt-4o" }, "VALIDATION_ERROR", "successor"],
      [{ name: "leaving", retires_at: "2027-01-01", successor: "leaving" }, "VALIDATION_ERROR", "successor"],
    ] as const) {
      const refused = (await retire(args)).body;
      assert.deepEqual([refused.code, Object.keys(JSON.parse(refused.details))], [code, [field]]);
    }
  });

  test("are the only ones who may change it", async () => {
    for (const caller of [anon, user(alice)]) {
      assert.equal((await rpc(db, caller, "put_model", { model: {} })).status, 403);
      const args = { framework: "openai", name: "gpt-4o", retires_at: "2026-01-01" };
      assert.equal((await rpc(db, caller, "retire_model", args)).status, 403);
    }
  });
});
