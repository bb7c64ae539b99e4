import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";
import { createDatabase, type Database } from "./database.ts";
import { createUpkeep } from "./upkeep.ts";

/** Files by agent, as the database sees them; `broken` makes Storage refuse an agent's. */
function memoryDatabase(files: Record<string, string[]>) {
  const due = new Set(Object.keys(files));
  const state = { broken: "", down: false, calls: 0, errors: [] as string[], files };
  const database = {
    async claimRemovals(most) {
      state.calls += 1;
      if (state.down) throw new Error("the database does not answer");
      const taken = [...due].slice(0, most);
      for (const agentId of taken) due.delete(agentId);
      return taken.map((agentId) => {
        const names = (files[agentId] ?? []).slice(0, 2);
        return { agentId, files: names.length === 0 ? [] : [{ bucket: "agent-assets", names }] };
      });
    },
    async removeFiles(_bucket, names) {
      for (const name of names) {
        const agentId = name.split("/")[0] ?? "";
        if (agentId === state.broken) throw new Error("Storage answered 503");
        files[agentId] = (files[agentId] ?? []).filter((file) => file !== name);
      }
    },
    async reportRemoval(agentId, error) {
      if (error !== undefined) state.errors.push(`${agentId}: ${error}`);
      else if ((files[agentId] ?? []).length > 0) due.add(agentId);
    },
    claimAdvisories: async () => assert.fail("advisories were not asked for"),
    recordAdvisories: async () => assert.fail("advisories were not asked for"),
  } satisfies Database;
  return { state, database, again: (agentId: string) => due.add(agentId) };
}

function upkeepOf(database: Database) {
  const lines: string[] = [];
  const upkeep = createUpkeep(database, undefined, (level, message) => lines.push(`${level} ${message}`));
  return { lines, wake: () => upkeep.wake('{"work": "file_removals"}'), upkeep };
}

describe("the removal of files", () => {
  it("removes all files of deleted agents, batch by batch, in one call", async () => {
    const { state, database } = memoryDatabase({ a: ["a/1", "a/2", "a/3", "a/4", "a/5"], b: ["b/1"], c: [] });
    await upkeepOf(database).wake();
    assert.deepEqual(state.files, { a: [], b: [], c: [] });
    assert.equal(state.calls, 4, "three batches of a, then nothing due");
  });

  it("reports an agent whose files cannot be removed, and removes those of the others", async () => {
    const { state, database, again } = memoryDatabase({ a: ["a/1"], b: ["b/1"] });
    state.broken = "a";
    const { wake } = upkeepOf(database);
    await wake();
    assert.deepEqual(state.files, { a: ["a/1"], b: [] });
    assert.deepEqual(state.errors, ["a: Storage answered 503"]);
    state.broken = "";
    again("a");
    await wake();
    assert.deepEqual(state.files.a, []);
  });

  it("a database that does not answer is logged; the next call tries again", async () => {
    const { state, database } = memoryDatabase({ a: ["a/1"] });
    state.down = true;
    const { wake, lines } = upkeepOf(database);
    await wake();
    assert.deepEqual(lines, ["WARN Files of deleted agents were not removed"]);
    state.down = false;
    await wake();
    assert.deepEqual(state.files.a, []);
  });

  it("a call that names no known work does nothing", async () => {
    const { state, database } = memoryDatabase({ a: ["a/1"] });
    const { upkeep } = upkeepOf(database);
    for (const body of ["", "{}", "null", "[]", '{"work": "other"}', '{"work": "toString"}', "{"]) {
      await upkeep.wake(body);
    }
    assert.equal(state.calls, 0);
  });

  it("speaks to PostgREST and to Storage as they want it", async (t) => {
    const seen: [string, unknown, string | undefined][] = [];
    let status = 200;
    const server = createServer(async (request, response) => {
      let text = "";
      for await (const chunk of request) text += chunk;
      seen.push([
        `${request.method} ${request.url}`,
        JSON.parse(text),
        request.headers.apikey as string | undefined,
      ]);
      const body = request.url?.endsWith("claim_file_removals")
        ? [{ agentId: "a", files: [{ bucket: "agent-assets", names: ["a/ü.txt"] }] }]
        : {};
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.onTestFinished(() => {
      server.close();
      server.closeAllConnections();
    });
    const database = createDatabase({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      secretKey: "sb_secret_x",
    });
    const [due] = await database.claimRemovals(20);
    await database.removeFiles("agent-assets", due?.files[0]?.names ?? []);
    await database.reportRemoval("a");
    assert.deepEqual(seen, [
      ["POST /rest/v1/rpc/claim_file_removals", { max_count: 20 }, "sb_secret_x"],
      ["DELETE /storage/v1/object/agent-assets", { prefixes: ["a/ü.txt"] }, "sb_secret_x"],
      ["POST /rest/v1/rpc/report_file_removal", { agent_id: "a", error: null }, "sb_secret_x"],
    ]);
    status = 503;
    await assert.rejects(database.removeFiles("agent-assets", ["a/b"]), /Storage answered 503/);
    await assert.rejects(database.claimRemovals(1), /claim_file_removals answered 503/);
  });
});
