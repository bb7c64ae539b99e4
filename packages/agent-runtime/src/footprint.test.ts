// What an idle agent costs. The bounds are the goals; of time it is what it needs of a core, since a test shares the machine.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { startProviderStub } from "../../../tests/helpers/providers.ts";
import { startAgent } from "./testing/agent.ts";
import { warmCompileCache } from "./warm.ts";

test("an idle agent is ready soon and stays under 100 MB", async (t) => {
  // As the controller does before the first replica: without compiled code an agent takes 25 MB more.
  const scratch = mkdtempSync(join(tmpdir(), "agent-warm-"));
  t.onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
  await warmCompileCache(t.signal, join(scratch, "state"));
  await using stub = await startProviderStub();
  for (const framework of ["openai", "anthropic", "google"]) {
    const times: number[] = [];
    const cores: number[] = [];
    let bytes = 0;
    for (let round = 0; round < 3; round++) {
      await using agent = await startAgent({ config: { framework }, environment: stub.environment });
      times.push(agent.readyAfter);
      const metrics = String((await agent.get("/metrics")).body.text);
      bytes = Number(/^process_resident_memory_bytes (\d+)/m.exec(metrics)?.[1]);
      cores.push(1000 * Number(/^process_cpu_seconds_total ([\d.]+)/m.exec(metrics)?.[1]));
    }
    const [best, least] = [Math.min(...times), Math.min(...cores)];
    const told = `ready after ${best.toFixed(0)} ms, ${least.toFixed(0)} ms of a core`;
    console.info(`${framework}: ${told}, ${(bytes / 1e6).toFixed(0)} MB`);
    assert.ok(bytes < 100e6, `${framework}: ${bytes} bytes`);
    assert.ok(least < 1_000, `${framework}: ${told}`);
  }
});
