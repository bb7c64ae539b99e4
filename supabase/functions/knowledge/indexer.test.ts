import assert from "node:assert/strict";
import { test } from "vitest";
import type { Chunk } from "./cut.ts";
import type { Database, Job, Outcome } from "./database.ts";
import { Indexer } from "./indexer.ts";

const job = (path: string, more: Partial<Job> = {}): Job => ({
  fileId: path,
  leaseToken: "t",
  agentId: "a",
  path,
  mimetype: "text/plain",
  ...more,
});

/** A database of these files; what is reported is kept. */
function play(
  files: Record<string, string | Error>,
  jobs: Job[],
  accept: (path: string) => boolean = () => true,
) {
  const waiting = [...jobs];
  const chunks: Record<string, Chunk[]> = {};
  const outcomes: Record<string, Outcome> = {};
  const database: Database = {
    claim: async (most) => waiting.splice(0, most),
    async download({ path }) {
      const file = files[path];
      if (file instanceof Error || file === undefined) throw file ?? new Error("404");
      return new TextEncoder().encode(file);
    },
    async add({ path }, first, part) {
      chunks[path] = [...(chunks[path] ?? []).slice(0, first), ...part];
      return accept(path);
    },
    finish: async ({ path }, outcome) => {
      outcomes[path] = outcome;
    },
  };
  return { database, chunks, outcomes };
}
const silent = () => undefined;

test("all that waits is indexed, in parts of at most 200 chunks", async () => {
  const long = Array.from({ length: 450 }, (_, n) => `${n} ${"x".repeat(990)}`).join("\n\n");
  const { database, chunks, outcomes } = play(
    { a: "alpha", b: long, c: "gamma", d: "delta" },
    ["a", "b", "c", "d"].map((path) => job(path)),
  );
  await new Indexer(database, silent).wake();
  assert.deepEqual(outcomes, { a: {}, b: {}, c: {}, d: {} });
  assert.equal(chunks.b?.length, 450);
  assert.deepEqual(chunks.a, [{ content: "alpha" }]);
});

test("a character's facts are its text, with its name filled in", async () => {
  const character = { name: "Ada", knowledge: ["{{name}} likes tea", { path: "a.md" }, { content: "Two" }] };
  const { database, chunks } = play({}, [job("character.knowledge", { character, mimetype: null })]);
  await new Indexer(database, silent).wake();
  assert.deepEqual(chunks["character.knowledge"], [{ content: "Ada likes tea\n\nTwo" }]);
});

test("a file that Storage does not give is tried again; one that is no text is refused; one that changed is left", async () => {
  const { database, outcomes } = play(
    { away: new Error("503"), binary: "a\0b", changed: "text" },
    [job("away"), job("binary"), job("changed")],
    (path) => path !== "changed",
  );
  await new Indexer(database, silent).wake();
  assert.deepEqual(outcomes.away, { retry: true });
  assert.match(outcomes.binary?.refused ?? "", /is not text/);
  assert.equal(outcomes.changed, undefined);
});

test("calls while it works make it look again, and a database that is down ends a call without an error", async () => {
  let claims = 0;
  const { database } = play({}, []);
  const indexer = new Indexer(
    {
      ...database,
      claim: async () => {
        claims++;
        throw new Error("down");
      },
    },
    silent,
  );
  await Promise.all([indexer.wake(), indexer.wake()]);
  await indexer.wake();
  assert.equal(claims, 3);
});
