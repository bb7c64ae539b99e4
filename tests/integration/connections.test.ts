// The calls by which an operator tells the database where the controller and the functions are.
import assert from "node:assert/strict";
import { afterAll, beforeAll, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../helpers/database.ts";

let db: TestDatabase;

beforeAll(async () => {
  db = await createTestDatabase();
});
afterAll(() => db.destroy());

const connect = async (call: string, values: unknown[]) =>
  (await db.pool.query(`select private.${call} as done`, values)).rows[0].done;

const held = async () =>
  Object.fromEntries(
    (
      await db.pool.query(
        "select name, decrypted_secret from vault.decrypted_secrets where name like 'launchpad%' order by name",
      )
    ).rows.map(({ name, decrypted_secret }) => [name, decrypted_secret]),
  );

test("the first call makes a secret and shows it this once; the next keeps it", async () => {
  const first = await connect("connect_controller($1)", ["https://controller.example.com/"]);
  assert.match(first.secret, /^[0-9a-f]{64}$/);
  assert.deepEqual([first.url_changed, first.secret_changed], [true, true]);
  assert.deepEqual(await held(), {
    launchpad_controller_url: "https://controller.example.com",
    launchpad_webhook_secret: first.secret,
  });
  const again = await connect("connect_controller($1)", ["https://other.example.com"]);
  assert.deepEqual(again, { url: "https://other.example.com", url_changed: true, secret_changed: false });
  assert.equal((await held()).launchpad_webhook_secret, first.secret);
});

test("a given secret replaces the one that is there, and is never answered", async () => {
  const secret = "a-secret-of-this-test";
  const done = await connect("connect_functions($1, $2)", ["https://ref.example.com/functions/v1", secret]);
  assert.deepEqual(done, {
    url: "https://ref.example.com/functions/v1",
    url_changed: true,
    secret_changed: true,
  });
  await connect("connect_functions($1, $2)", [
    "https://ref.example.com/functions/v1",
    "another-secret-of-this-test",
  ]);
  const { launchpad_respond_secret: respond, launchpad_functions_url: url } = await held();
  assert.deepEqual([url, respond], ["https://ref.example.com/functions/v1", "another-secret-of-this-test"]);
});

test("an address that is none and a secret that is too short are named, and nothing is stored", async () => {
  const before = await held();
  for (const [values, field] of [
    [["controller.example.com", null], "url"],
    [[null, null], "url"],
    [["https://controller.example.com", "short"], "secret"],
  ] as const) {
    await assert.rejects(connect("connect_controller($1, $2)", [...values]), (error: Error) =>
      error.message.includes(`\\"${field}\\"`),
    );
  }
  assert.deepEqual(await held(), before);
});

test("no role of the API may call them", async () => {
  for (const as of [db.asAnon, db.asService]) {
    await assert.rejects(
      as.call(db, (client) => client.query("select private.connect_controller('https://evil.example.com')")),
      /permission denied/,
    );
  }
});
