// How a real elizaOS agent starts. Needs the optional part: npm run install:eliza
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { defaultElizaDir } from "../../paths.ts";
import { runToEnd, startAgent } from "../../testing/agent.ts";

const installed = existsSync(join(defaultElizaDir, "node_modules/@elizaos/core/package.json"));
const skip = installed ? false : "the elizaOS engine is not installed: npm run install:eliza";
const config = { plugins: ["@elizaos/plugin-bootstrap"] };

test("killed in its first start → the next start makes the database again; killed later → it is kept", {
  skip,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "agent-eliza-test-"));
  const environment = { AGENT_STATE_DIR: join(folder, "state") };
  const database = join(folder, "state/pglite");
  const files = () => (existsSync(database) ? readdirSync(database, { recursive: true }).length : 0);
  try {
    for (const enough of [1, 400]) {
      const { lines } = await runToEnd({ config, environment }, (child) => {
        const timer = setInterval(() => files() >= enough && child.kill("SIGKILL"), 2);
        child.once("exit", () => clearInterval(timer));
      });
      assert.ok(!lines.some(({ message }) => message === "listening"), `killed with ${enough} files`);
    }
    let made = 0;
    for (const kept of [false, true]) {
      await using agent = await startAgent({ config, environment });
      assert.equal((await agent.get("/ready")).status, 200);
      if (kept) assert.equal(statSync(join(database, "PG_VERSION")).birthtimeMs, made);
      made = statSync(join(database, "PG_VERSION")).birthtimeMs;
      agent.process.kill("SIGKILL");
      await agent.exited;
    }
    truncateSync(join(database, "global/pg_control"));
    const { code, lines } = await runToEnd({ config, environment });
    assert.deepEqual([code, lines.at(-1)?.level], [1, "ERROR"]);
    assert.match(lines.at(-1)?.message ?? "", /database cannot be opened.*pglite\.broken/);
    await using agent = await startAgent({ config, environment });
    assert.equal((await agent.get("/ready")).status, 200);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
