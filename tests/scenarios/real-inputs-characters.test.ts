// What users really send, C1–C7 and schedules: characters and definitions. Each row of the list by its own input, through the
// CLI, /api and rows, in both ways of running an agent. Siblings stand beside the code they concern.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, test } from "vitest";
import { api } from "../helpers/agents.ts";
import { openTerminal, type Terminal } from "../helpers/cli.ts";
import { type Stage, setStage, WAYS } from "../helpers/real-inputs.ts";

let stage: Stage;
let terminal: Terminal;
beforeAll(async () => {
  stage = await setStage();
  terminal = await openTerminal(stage.stack.info);
  await terminal.login(stage.user);
});
beforeEach(() => stage.reset());
afterAll(async () => {
  await terminal?.remove();
  await stage?.stop();
});

const launch = (definition: Record<string, unknown>) =>
  api(stage.stack, stage.user, "POST", "/agents", { agentName: "Ada", ...definition });
const rowOf = async (id: string) =>
  (await stage.user.client.from("agents").select().eq("id", id).single()).data;
const fieldsOf = (body: { warnings: { field: string }[] }) => body.warnings.map(({ field }) => field);

/** A file as elizaOS 0.x has them. */
const FILE = {
  name: "Ada",
  modelProvider: "anthropic",
  clients: ["discord"],
  plugins: ["@elizaos/plugin-bootstrap", "@elizaos/plugin-anthropic"],
  settings: {
    model: "claude-sonnet-4-5",
    temperature: 0.2,
    secrets: { TELEGRAM_BOT_TOKEN: "word-one", DB_PASSWORD: "word-two" },
    voice: { model: "en_US" },
  },
  bio: ["{{name}} helps"],
  lore: ["Born in a lab"],
  messageExamples: [
    [
      { user: "{{user1}}", content: { text: "Hi {{name}}, I am {{user2}}" } },
      { user: "Ada", content: { text: "Hello {{user1}}" } },
    ],
  ],
  style: { all: ["brief"], chat: [], post: [] },
};

test("C1: a bare character file is taken by the CLI; by the API one sentence says the cure", async () => {
  await writeFile(join(terminal.folder, "ada.character.json"), JSON.stringify(FILE));
  const made = await terminal.run(["create", "-f", "ada.character.json", "--json"]);
  assert.equal(made.code, 0, made.stderr);
  const { name, framework, character } = await rowOf(made.json.agentId);
  assert.deepEqual([name, framework, character.lore], ["Ada", "anthropic", FILE.lore]);

  const { status, body } = await api(stage.stack, stage.user, "POST", "/agents", FILE);
  assert.deepEqual([status, Object.keys(body.error.details)], [400, ["body"]]);
  assert.match(
    body.error.details.body,
    /^This is a character file: send it as \{"agentName": "…", "character": …\}$/,
  );
});

for (const way of WAYS) {
  test(`C2: {{user1}} and {{name}} are filled (${way})`, async () => {
    const { settings: _, modelProvider: __, clients: ___, plugins: ____, ...character } = FILE;
    const id = await stage.agent(way, { character });
    await stage.say(id);
    const { system } = stage.stub.requests[0] ?? { system: "" };
    assert.match(system, /User: Hi Ada, I am User 2\nAda: Hello User/);
    assert.match(system, /Ada helps/);
    assert.doesNotMatch(system, /\{\{/);
  });
}

test("C3: what a file says beyond the character takes effect, or is warned of; by a row too", async () => {
  const { body } = await launch({ character: FILE });
  const row = await stage.insert("agents", { name: "Ada", character: FILE });
  for (const id of [body.agentId, row.id]) {
    const { framework, model, settings, plugins, platforms } = await rowOf(id);
    assert.deepEqual(
      [framework, model, settings, plugins, platforms],
      ["anthropic", "claude-sonnet-4-5", { temperature: 0.2 }, [], ["discord"]],
    );
  }
  assert.deepEqual(fieldsOf(body), ["character.settings.voice", "platforms.0"]);
  await stage.say(row.id);
  assert.deepEqual(
    [stage.stub.requests[0]?.provider, stage.stub.requests[0]?.body.temperature],
    ["anthropic", 0.2],
  );
});

describe("C4: secrets of a character are secrets", () => {
  test("they go to Vault; no row, revision, event or export holds them, and nobody reads their values", async () => {
    const { body } = await launch({ character: FILE });
    const { data } = await stage.user.client
      .from("agent_secrets")
      .select("name, version")
      .eq("agent_id", body.agentId);
    assert.deepEqual(data?.map(({ name }) => name).sort(), ["DB_PASSWORD", "TELEGRAM_BOT_TOKEN"]);
    const { body: exported } = await api(stage.stack, stage.user, "GET", `/agents/${body.agentId}/export`);
    const [{ kept } = { kept: "" }] = await stage.stack.sql<{ kept: string }>(
      `select (select json_agg(a)::text from public.agents a) || (select json_agg(r)::text from public.agent_revisions r)
         || (select json_agg(e)::text from public.agent_events e) as kept`,
    );
    assert.doesNotMatch(JSON.stringify([data, exported, kept]), /word-(one|two)/);
    const theirs = await stage.stranger.client
      .from("agent_secrets")
      .select("name, version")
      .eq("agent_id", body.agentId);
    assert.deepEqual(theirs.data, []);
  });

  test("a scan finds one by its key's name where it stands elsewhere", async () => {
    const { body } = await launch({
      character: { ...FILE, settings: { database: { DB_PASSWORD: "word-three" } } },
    });
    const scan = await api(stage.stack, stage.user, "POST", `/security/scan/${body.agentId}`);
    const found = scan.body.results.findings.filter(
      ({ check }: { check: string }) => check === "SECRET_LITERAL",
    );
    assert.deepEqual(
      found.map(({ location, severity }: Record<string, string>) => [location, severity]),
      [["character.settings", "MEDIUM"]],
    );
    assert.doesNotMatch(JSON.stringify(scan.body), /word-three/);
    const theirs = await api(stage.stack, stage.stranger, "POST", `/security/scan/${body.agentId}`);
    assert.equal(theirs.status, 404);
  });
});

describe("C5: every quantity of Kubernetes, told back in one form", () => {
  for (const [given, told] of [
    [
      { memory: "1073741824", cpu: "1" },
      { memory: "1Gi", cpu: "1000m" },
    ],
    [
      { memory: "1e9", cpu: "0.5" },
      { memory: "1G", cpu: "500m" },
    ],
    [
      { memory: ".5Gi", cpu: ".5" },
      { memory: "512Mi", cpu: "500m" },
    ],
  ] as const) {
    test(JSON.stringify(given), async () => {
      const { status, body } = await launch({ resources: given });
      assert.equal(status, 201, JSON.stringify(body));
      const row = await stage.insert("agents", { name: "Ada", resources: given });
      for (const id of [body.agentId, row.id]) assert.deepEqual((await rowOf(id)).resources, told);
    });
  }

  test("cpu: 0.5 without quotes, by the CLI's YAML", async () => {
    await writeFile(
      join(terminal.folder, "a.yaml"),
      "agentName: Ada\nresources:\n  memory: .5Gi\n  cpu: 0.5\n",
    );
    const made = await terminal.run(["create", "-f", "a.yaml", "--json"]);
    assert.equal(made.code, 0, made.stderr);
    assert.deepEqual((await rowOf(made.json.agentId)).resources, { memory: "512Mi", cpu: "500m" });
  });
});

test("C6: a platform that nothing serves is said at creation", async () => {
  const { body } = await launch({ platforms: ["discord", "discrod", "web"], plugins: [] });
  assert.deepEqual(fieldsOf(body), ["platforms.0", "platforms.1"]);
  assert.match(body.warnings[0].message, /No plugin of this agent serves discord/);
});

describe("schedules are pg_cron's", () => {
  test("0 0 */2 * 1 needs both days, */90 runs at minute 0", async () => {
    const [{ both, minute } = {}] = await stage.stack.sql(
      `select cron._parse_schedule('0 0 */2 * 1') -> 'both' as both, cron._parse_schedule('*/90 * * * *') -> 'minute' as minute`,
    );
    assert.deepEqual([both, minute], [true, [0]]);
  });

  test("5/15 is refused with 22023", async () => {
    await assert.rejects(stage.stack.sql("select cron.schedule('x', '5/15 * * * *', 'select 1')"), {
      code: "22023",
    });
  });

  for (const schedule of ["5-1 * * * *", "0 3 * * * # at night", "30seconds"]) {
    test(`${schedule} is accepted`, async () => {
      await stage.stack.sql("select cron.schedule('x', $1, 'select 1')", [schedule]);
      await stage.stack.sql("select cron.unschedule('x')");
    });
  }
});
