import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";
import { createLog } from "../log.ts";
import { SimulatedClock } from "../testing/simulated-clock.ts";
import { FileRemoval } from "./removal.ts";
import { createFileStore, type FileStore } from "./store.ts";

/** Files by agent, as the database sees them; `broken` makes Storage refuse an agent's. */
function memoryStore(files: Record<string, string[]>) {
  const due = new Set(Object.keys(files));
  const state = { broken: "", down: false, calls: 0, errors: [] as string[], files };
  const store: FileStore = {
    async claim(maxCount) {
      state.calls += 1;
      if (state.down) throw new Error("the database does not answer");
      const taken = [...due].slice(0, maxCount);
      for (const agentId of taken) due.delete(agentId);
      return taken.map((agentId) => {
        const names = (files[agentId] ?? []).slice(0, 2);
        return { agentId, files: names.length === 0 ? [] : [{ bucket: "agent-assets", names }] };
      });
    },
    async remove(_bucket, names) {
      for (const name of names) {
        const agentId = name.split("/")[0] ?? "";
        if (agentId === state.broken) throw new Error("Storage answered 503");
        files[agentId] = (files[agentId] ?? []).filter((file) => file !== name);
      }
    },
    async report(agentId, error) {
      if (error !== undefined) state.errors.push(`${agentId}: ${error}`);
      else if ((files[agentId] ?? []).length > 0) due.add(agentId);
    },
  };
  return { state, store, again: (agentId: string) => due.add(agentId) };
}

function removal(store: FileStore, mayRemove = () => true) {
  const lines: string[] = [];
  const clock = new SimulatedClock();
  const log = createLog((line) => lines.push(line), "info");
  return {
    clock,
    lines,
    worker: new FileRemoval({ store, clock, random: () => 0.5, log, mayRemove, periodSeconds: 5 }),
  };
}

describe("the removal of files", () => {
  it("removes all files of deleted agents, batch by batch, in one run", async () => {
    const { state, store } = memoryStore({ a: ["a/1", "a/2", "a/3", "a/4", "a/5"], b: ["b/1"], c: [] });
    const { clock, worker } = removal(store);
    worker.start();
    await clock.advance(4900);
    assert.equal(state.calls, 0);
    await clock.advance(200);
    assert.deepEqual(state.files, { a: [], b: [], c: [] });
    await worker.stop();
    await clock.advance(60_000);
    assert.equal(state.calls, 4, "three batches of a, then nothing due, then stopped");
  });

  it("an agent whose files cannot be removed is reported and keeps none of the others", async () => {
    const { state, store, again } = memoryStore({ a: ["a/1"], b: ["b/1"] });
    state.broken = "a";
    const { worker } = removal(store);
    await worker.run();
    assert.deepEqual(state.files, { a: ["a/1"], b: [] });
    assert.deepEqual(state.errors, ["a: Storage answered 503"]);
    state.broken = "";
    again("a");
    await worker.run();
    assert.deepEqual(state.files.a, []);
  });

  it("a database that is away is said once, and looked for again", async () => {
    const { state, store } = memoryStore({ a: ["a/1"] });
    state.down = true;
    const { clock, worker, lines } = removal(store);
    worker.start();
    await clock.advance(20_000);
    assert.equal(lines.filter((line) => line.includes("not removed")).length, 1);
    state.down = false;
    await clock.advance(6_000);
    assert.deepEqual(state.files.a, []);
    await worker.stop();
  });

  it("removes nothing while the guard says no", async () => {
    const { state, store } = memoryStore({ a: ["a/1"] });
    let may = false;
    const { worker } = removal(store, () => may);
    await worker.run();
    assert.deepEqual([state.files.a, state.calls], [["a/1"], 0]);
    may = true;
    await worker.run();
    assert.deepEqual(state.files.a, []);
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
    const store = createFileStore(
      `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      "sb_secret_x",
    );
    const [due] = await store.claim(20);
    await store.remove("agent-assets", due?.files[0]?.names ?? []);
    await store.report("a");
    assert.deepEqual(seen, [
      ["POST /rest/v1/rpc/claim_file_removals", { max_count: 20 }, "sb_secret_x"],
      ["DELETE /storage/v1/object/agent-assets", { prefixes: ["a/ü.txt"] }, "sb_secret_x"],
      ["POST /rest/v1/rpc/report_file_removal", { agent_id: "a", error: null }, "sb_secret_x"],
    ]);
    status = 503;
    await assert.rejects(store.remove("agent-assets", ["a/b"]), /Storage answered 503/);
    await assert.rejects(store.claim(1), /claim_file_removals: 503/);
  });
});
