// What a long life of an elizaOS agent leaves: memory, the folder, the rows of its database.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { test } from "vitest";
import { startProviderStub } from "../../../../../tests/helpers/providers.ts";
import { defaultElizaDir } from "../../paths.ts";
import { startAgent } from "../../testing/agent.ts";
import { skipEliza as skip } from "../../testing/eliza.ts";
import { soak } from "../../testing/soak.ts";
import { forget } from "./growth.ts";

interface Database {
  exec(sql: string): Promise<unknown>;
  query<T>(sql: string): Promise<{ rows: T[] }>;
  close(): Promise<void>;
}

/** Opens a database that elizaOS made. */
async function openDatabase(dataDir: string): Promise<Database> {
  const load = async (file: string) =>
    import(pathToFileURL(join(defaultElizaDir, "node_modules/@electric-sql/pglite/dist", file)).href);
  const [{ PGlite }, { vector }, { fuzzystrmatch }] = await Promise.all([
    load("index.js"),
    load("vector/index.js"),
    load("contrib/fuzzystrmatch.js"),
  ]);
  return PGlite.create({ dataDir, extensions: { vector, fuzzystrmatch } });
}

function makeFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "agent-growth-"));
  mkdirSync(join(path, "state"));
  return {
    path: join(path, "state"),
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

test("E8: 80 messages in 4 conversations → memory and folder stay flat, the start's peak included", {
  skip: Boolean(process.platform === "linux" ? skip : "reads /proc"),
}, async () => {
  using folder = makeFolder();
  const { samples, peak } = await soak({ messages: 80, samples: 4, stateDir: folder.path });
  const [, early, , late] = samples;
  assert.ok(early && late);
  assert.ok(late.folder - early.folder < 3e6, `the folder grew by ${late.folder - early.folder} bytes`);
  assert.ok(late.resident - early.resident < 80e6, `memory grew by ${late.resident - early.resident} bytes`);
  assert.ok(peak < 640e6, `the peak was ${peak} bytes; with V8's own settings it is 950 MB`);
});

test("E8: the oldest messages, facts and empty rooms go; plugins' memories, muted and new rooms stay", {
  skip: Boolean(skip),
}, async () => {
  using folder = makeFolder();
  await using stub = await startProviderStub();
  {
    await using agent = await startAgent({
      config: { plugins: ["@elizaos/plugin-bootstrap"] },
      environment: { ...stub.environment, AGENT_STATE_DIR: folder.path },
    });
    agent.process.kill("SIGTERM");
    assert.equal(await agent.exited, 0);
  }
  const database = await openDatabase(join(folder.path, "pglite"));
  try {
    const id = (kind: number, n: string) =>
      `format('%s0000000-0000-4000-8000-%s', ${kind}, lpad((${n})::text, 12, '0'))`;
    const agent = "(select id from agents limit 1)";
    // Rooms 1–6 are the runtime's, 7 is Discord's; 5 is muted; 6 is new; all are empty but 1, 2 and 7.
    await database.exec(`
      insert into entities (id, agent_id, created_at, names, metadata)
        select (${id(1, "n")})::uuid, ${agent}, now() - interval '2 hours', array['a'],
          case when n = 7 then '{"discord": {}}'::jsonb else '{"launchpad": {}}' end from generate_series(1, 7) n;
      insert into rooms (id, agent_id, source, type, created_at)
        select (${id(2, "n")})::uuid, ${agent}, case when n = 7 then 'discord' else 'launchpad' end, 'API',
          now() - case when n = 6 then interval '0' else interval '2 hours' end from generate_series(1, 7) n;
      insert into participants (entity_id, room_id, agent_id, room_state)
        select (${id(1, "n")})::uuid, (${id(2, "n")})::uuid, ${agent}, case when n = 5 then 'MUTED' end from generate_series(1, 7) n;
      insert into cache (key, agent_id, value)
        select (${id(2, "n")}) || '-reflection-last-processed', ${agent}, '"x"' from generate_series(1, 7) n;
      insert into memories (id, type, created_at, content, entity_id, agent_id, room_id)
        select (${id(3, "n")})::uuid, 'messages', now() - n * interval '1 second', '{}'::jsonb, (${id(1, "1 + n % 2")})::uuid, ${agent}, (${id(2, "1 + n % 2")})::uuid
          from generate_series(1, 60) n
        union all select (${id(4, "n")})::uuid, 'facts', now() - n * interval '1 second', '{}'::jsonb, ${agent}, ${agent}, (${id(2, "1")})::uuid from generate_series(1, 30) n
        union all select (${id(5, "n")})::uuid, 'documents', now() - interval '1 year', '{}'::jsonb, ${agent}, ${agent}, (${id(2, "7")})::uuid from generate_series(1, 40) n
        union all select (${id(6, "n")})::uuid, 'messages', now() - interval '1 year', '{}'::jsonb, ${agent}, ${agent}, (${id(2, "3")})::uuid from generate_series(1, 5) n;
      insert into embeddings (id, memory_id, created_at, dim_384) select gen_random_uuid(), id, now(), array_fill(0.1, array[384])::vector from memories`);
    const sql = forget({
      messages: 50,
      facts: 20,
      messagesOfRoom: 20,
      factsOfRoom: 15,
      embeddedMessages: 10,
    });
    await database.exec(sql);
    const left = async () => {
      const { rows } = await database.query<Record<string, number>>(`select
        (select count(*)::int from memories where type = 'messages') as messages,
        (select max(extract(epoch from now() - created_at))::int from memories where type = 'messages') as oldest,
        (select count(*)::int from memories where type = 'facts') as facts,
        (select count(*)::int from memories where type = 'documents') as documents,
        (select count(*)::int from embeddings) as embeddings,
        (select count(*)::int from rooms where created_at < now() - interval '1 minute' and source <> 'elizaos') as rooms,
        (select count(*)::int from rooms where source = 'discord') as discord,
        (select count(*)::int from participants where room_state = 'MUTED') as muted,
        (select count(*)::int from entities where metadata ? 'launchpad') as people,
        (select count(*)::int from cache where key like '%-reflection-last-processed') as marks`);
      return rows[0];
    };
    const expected = {
      messages: 40, // 20 of each of the two rooms; those of room 3 are beyond all bounds
      oldest: 40,
      facts: 15,
      documents: 40,
      embeddings: 10 + 15 + 40,
      rooms: 4, // 1, 2, the muted one, Discord's
      discord: 1,
      muted: 1,
      people: 4, // of 1, 2, 5 and of the new room
      marks: 5,
    };
    const first = await left();
    assert.ok(Math.abs(Number(first?.oldest) - 40) <= 5, "the newest stay");
    assert.deepEqual({ ...first, oldest: 40 }, expected);
    await database.exec(sql);
    assert.deepEqual({ ...(await left()), oldest: 40 }, expected, "again → nothing more");
  } finally {
    await database.close();
  }
});
