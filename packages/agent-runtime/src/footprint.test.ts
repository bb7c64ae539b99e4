// What an idle agent costs. The bounds are the goals, with room for a busy machine in the time only.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startProviderStub } from "../../../tests/helpers/providers.ts";
import { startAgent } from "./testing/agent.ts";

test("an idle agent is ready soon and stays under 100 MB", async (t) => {
  await using stub = await startProviderStub();
  for (const framework of ["openai", "anthropic", "google"]) {
    const times: number[] = [];
    let bytes = 0;
    for (let round = 0; round < 3; round++) {
      await using agent = await startAgent({ config: { framework }, environment: stub.environment });
      times.push(agent.readyAfter);
      const metrics = String((await agent.get("/metrics")).body.text);
      bytes = Number(/^process_resident_memory_bytes (\d+)/m.exec(metrics)?.[1]);
    }
    const best = Math.min(...times);
    t.diagnostic(`${framework}: ready after ${best.toFixed(0)} ms, ${(bytes / 1e6).toFixed(0)} MB`);
    assert.ok(bytes < 100e6, `${framework}: ${bytes} bytes`);
    assert.ok(best < 1_000, `${framework}: ready after ${best} ms`);
  }
});
