// Which plugins may be named, and what their names were resolved to.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { BUILT_IN_PLUGINS } from "@agent-launchpad/agent-runtime";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { TestDatabase } from "../helpers/database.ts";
import { createUnlimitedDatabase, createUser, rpc, service, settle, user } from "../helpers/sql-api.ts";

let db: TestDatabase;
let ada: string;
let bob: string;

beforeAll(async () => {
  db = await createUnlimitedDatabase();
  [ada, bob] = [await createUser(db), await createUser(db)];
});
afterAll(() => db?.destroy());

const rules = (...rows: [pattern: string, action: string, versions?: string][]) =>
  Promise.all(
    rows.map(([pattern, action, versions = ""]) =>
      db.pool.query(
        "insert into private.plugin_rules (pattern, action, versions) values ($1, $2, $3) on conflict do nothing",
        [pattern, action, versions],
      ),
    ),
  );
const launch = (plugins: string[], who = ada) =>
  rpc(db, user(who), "launch_agent", { definition: { agentName: "a", plugins } });
const claim = async (agentId: string) => {
  const { body } = await rpc(db, service, "claim_deployments", { worker: "test-worker", max_count: 500 });
  return body.find((row: { agentId: string }) => row.agentId === agentId);
};
const digest = (character: string) => character.repeat(64);
const resolution = (tree: string, plugins: { name: string; version: string }[]) => ({
  tree,
  engine: "elizaos@1.7.2",
  plugins: plugins.map((plugin) => ({ ...plugin, integrity: "sha512-x" })),
  known: plugins.map((plugin) => ({
    ...plugin,
    description: "Does things",
    engine: "elizaos",
    settings: [],
  })),
  lock: { lockfileVersion: 3, packages: {} },
  packages: plugins.map(({ name, version }) => ({
    package: name,
    version,
    install_script: true,
    licence: null,
  })),
});
const record = (row: { agentId: string; generation: number; leaseToken: string }, resolved: object) =>
  rpc(db, service, "record_plugins", {
    agent_id: row.agentId,
    generation: row.generation,
    lease_token: row.leaseToken,
    resolved,
  });
const status = async (agentId: string) =>
  (await rpc(db, user(ada), "get_agent_status", { agent_id: agentId })).body;

describe("names", () => {
  const refused: [plugin: string, problem: RegExp][] = [
    ["../x", /not a path/],
    ["./x", /not a path/],
    ["/etc/x", /not a path/],
    ["file:x", /not a path/],
    ["https://mcp.example.com/mcp", /an MCP server: mcp: before its address/],
    ["https://example.com/x.tgz", /not a path/],
    ["git+ssh://git@example.com/x.git", /git address/],
    ["owner/repository", /git address/],
    ["npm:left-pad@1", /not a path/],
    ["fs", /module of Node/],
    ["node:fs", /not a path/],
    ["worker_threads@1.0.0", /module of Node/],
    ["@elizaos/plugin-x@>=1 <2", /npm package name/],
    ["@elizaos/plugin-x@1.0.0 || 2", /npm package name/],
    ["@elizaos/Plugin", /npm package name/],
    ["-x", /npm package name/],
  ];
  for (const [plugin, problem] of refused) {
    test(`${plugin} is refused with its place`, async () => {
      const { status, body } = await launch([plugin]);
      assert.equal(status, 400, JSON.stringify(body));
      assert.match(JSON.parse(body.details)["plugins.0"], problem);
    });
  }

  test("an entry that is no text is named as that, in a launch and in a row", async () => {
    const { body } = await launch([null as unknown as string]);
    assert.equal(JSON.parse(body.details)["plugins.0"], "Must be text");
    await assert.rejects(
      db.as(user(ada), (client) =>
        client.query("insert into public.agents (user_id, name, plugins) values ($1, 'a', '{null}')", [ada]),
      ),
      ({ message, detail }: Error & { detail?: string }) =>
        /plugins\.0.*Must be text/.test(`${message} ${detail}`),
    );
  });

  for (const plugin of ["x", "x@1.2.3", "x@^2", "x@~1.2", "x@1.x", "x@latest", "x@2.0.0-alpha.3", "x@2"]) {
    test(`@elizaos/${plugin} is accepted`, async () => {
      assert.equal((await launch([`@elizaos/${plugin}`])).status, 201);
    });
  }
});

describe("rules", () => {
  test("by default elizaOS's two scopes may be named, and nothing else", async () => {
    for (const plugin of ["@elizaos/plugin-x", "@elizaos-plugins/y@1.0.0", ...BUILT_IN_PLUGINS]) {
      assert.equal((await launch([plugin])).status, 201, plugin);
    }
    const { status, body } = await launch(["@elizaos/plugin-x", "left-pad"]);
    assert.equal(status, 422);
    assert.equal(body.code, "PLUGIN_NOT_ALLOWED");
    assert.deepEqual(Object.keys(JSON.parse(body.details)), ["plugins.1"]);
    assert.match(body.message, /left-pad; they can with `launchpad plugins rules allow left-pad`/);
  });

  test("the most exact pattern decides, and a denial of two", async () => {
    await rules(
      ["@mine/*", "allow"],
      ["@mine/bad", "deny"],
      ["@closed/*", "deny"],
      ["@closed/good", "allow"],
    );
    await rules(["both", "allow"], ["both", "deny"]);
    for (const [plugin, expected] of [
      ["@mine/x", 201],
      ["@mine/bad", 422],
      ["@closed/x", 422],
      ["@closed/good", 201],
      ["both", 422],
      ["@minelike/x", 422],
    ] as const) {
      assert.equal((await launch([plugin])).status, expected, plugin);
    }
  });

  test("a range judges an exact version when it is named", async () => {
    await rules(["ranged", "allow", ">=1.2.0 <2.0.0"]);
    for (const [plugin, expected] of [
      ["ranged@1.2.0", 201],
      ["ranged@1.10.0", 201],
      ["ranged@2.0.0", 422],
      ["ranged@1.1.9", 422],
      ["ranged", 201],
    ] as const) {
      assert.equal((await launch([plugin])).status, expected, plugin);
    }
  });

  test("the same holds for rows written through PostgREST and for updates; what was there before stays", async () => {
    await rules(["later", "allow"]);
    const { body } = await launch(["later"]);
    await db.pool.query("delete from private.plugin_rules where pattern = 'later'");
    const rename = await rpc(db, user(ada), "update_agent", {
      agent_id: body.agentId,
      changes: { agentName: "b", plugins: ["later"] },
    });
    assert.ok(rename.status < 300, JSON.stringify(rename.body));
    const more = await rpc(db, user(ada), "update_agent", {
      agent_id: body.agentId,
      changes: { plugins: ["later", "other"] },
    });
    assert.equal(more.body.code, "PLUGIN_NOT_ALLOWED");
  });

  test("no API role reads or writes the rules", async () => {
    for (const role of ["anon", "authenticated", "service_role"]) {
      const { rows } = await db.pool.query(
        "select has_table_privilege($1, 'private.plugin_rules', 'select, insert, update, delete') as may",
        [role],
      );
      assert.equal(rows[0].may, false, role);
    }
  });
});

describe("what a controller resolved", () => {
  const discord = { name: "@elizaos/plugin-discord", version: "1.3.8" };

  test("stays with the revision, comes with the next claim, and a rollback has the same", async () => {
    const { body } = await launch(["@elizaos/plugin-discord"]);
    const row = await claim(body.agentId);
    assert.equal(row.spec.resolvedPlugins, null);
    const kept = await record(row, resolution(digest("a"), [discord]));
    assert.equal(kept.body.accepted, true, JSON.stringify(kept.body));
    assert.equal(kept.body.resolved.tree, digest("a"));
    // Resolved already: a second word changes nothing.
    const second = await record(row, resolution(digest("b"), [{ ...discord, version: "1.3.9" }]));
    assert.equal(second.body.resolved.tree, digest("a"));
    await settle(db, body.agentId);

    const update = (changes: object) =>
      rpc(db, user(ada), "update_agent", { agent_id: body.agentId, changes });
    await update({ system_prompt: "Be short." });
    assert.equal((await claim(body.agentId)).spec.resolvedPlugins.tree, digest("a"), "the same plugins");
    await settle(db, body.agentId, ["DEPLOYED"]);
    await update({ plugins: [] });
    assert.equal((await claim(body.agentId)).spec.resolvedPlugins, null);
    await settle(db, body.agentId, ["DEPLOYED"]);
    await update({ plugins: ["@elizaos/plugin-discord@1.3.9"] });
    const newer = await claim(body.agentId);
    assert.equal(newer.spec.resolvedPlugins, null);
    // A later release of the product, which runs agents on another elizaOS.
    await record(newer, {
      ...resolution(digest("c"), [{ ...discord, version: "1.3.9" }]),
      engine: "elizaos@2.0.0",
    });
    await settle(db, body.agentId, ["DEPLOYED"]);
    await rpc(db, user(ada), "rollback_agent", { agent_id: body.agentId, revision: 2 });
    const back = (await claim(body.agentId)).spec.resolvedPlugins;
    assert.deepEqual([back.tree, back.engine], [digest("a"), "elizaos@1.7.2"]);

    const { rows } = await db.pool.query(
      "select revision, resolved_plugins ->> 'tree' as tree, resolved_plugins ->> 'engine' as engine from public.agent_revisions where agent_id = $1 order by 1",
      [body.agentId],
    );
    const [a, c] = [digest("a"), digest("c")];
    assert.deepEqual(
      rows.map((found) => found.tree),
      [a, a, null, c, a],
    );
    const [one, two] = ["elizaos@1.7.2", "elizaos@2.0.0"];
    assert.deepEqual(
      rows.map(({ engine }) => engine),
      [one, one, null, two, one],
      "the engine is part of the revision",
    );
    const wanted = (await rpc(db, service, "wanted_plugin_trees", {})).body;
    assert.ok(wanted.includes(a) && wanted.includes(c) && !wanted.includes(digest("b")));
    assert.deepEqual((await rpc(db, service, "plugin_tree", { id: a })).body, {
      lockfileVersion: 3,
      packages: {},
    });
  });

  test("is refused without the lease, and for another's token", async () => {
    const { body } = await launch(["@elizaos/plugin-x"]);
    const row = await claim(body.agentId);
    const wanted = resolution(digest("d"), [{ name: "@elizaos/plugin-x", version: "1.0.0" }]);
    assert.equal((await record({ ...row, leaseToken: randomUUID() }, wanted)).status, 409);
    assert.equal((await record({ ...row, generation: 9 }, wanted)).status, 409);
    for (const who of [user(ada), user(bob)]) {
      const answer = await rpc(db, who, "record_plugins", {
        agent_id: body.agentId,
        generation: row.generation,
        lease_token: row.leaseToken,
        resolved: wanted,
      });
      assert.ok(answer.status === 403 || answer.status === 404, String(answer.status));
    }
  });

  test("a version that a rule denies is refused once it is known", async () => {
    await rules(["@elizaos/plugin-old", "deny", "<1.0.0"], ["@elizaos/plugin-old", "allow"]);
    const { body } = await launch(["@elizaos/plugin-old"]);
    const row = await claim(body.agentId);
    const answer = await record(
      row,
      resolution(digest("e"), [{ name: "@elizaos/plugin-old", version: "0.9.0" }]),
    );
    assert.equal(answer.body.accepted, false);
    assert.equal(answer.body.reason, "PLUGIN_NOT_ALLOWED");
    assert.match(answer.body.message, /@elizaos\/plugin-old@0\.9\.0/);
    const fine = await record(
      row,
      resolution(digest("e"), [{ name: "@elizaos/plugin-old", version: "1.0.0" }]),
    );
    assert.equal(fine.body.accepted, true);
  });

  test("a rule that wants no known vulnerability waits for the look-up, then judges the whole tree", async () => {
    await db.pool.query(
      "insert into private.plugin_rules (pattern, require_advisory_free) values ('@elizaos/plugin-clean', true)",
    );
    const { body } = await launch(["@elizaos/plugin-clean"]);
    const row = await claim(body.agentId);
    const wanted = resolution(digest("f"), [{ name: "@elizaos/plugin-clean", version: "1.0.0" }]);
    wanted.packages.push({ package: "deep", version: "2.0.0", install_script: false, licence: null });
    const due = await record(row, wanted);
    assert.equal(due.body.reason, "ADVISORIES_DUE");
    assert.equal(due.body.error, undefined);
    const asked = async () => {
      const { body: targets } = await rpc(db, service, "claim_advisories", {
        runtime: null,
        max_count: 5000,
      });
      return targets
        .map((target: { package: string }) => target.package)
        .filter((name: string) => ["@elizaos/plugin-clean", "deep"].includes(name));
    };
    assert.deepEqual(await asked(), ["@elizaos/plugin-clean", "deep"], "asked for at once");
    assert.equal((await record(row, wanted)).body.reason, "ADVISORIES_DUE", "still under way");
    assert.deepEqual(await asked(), [], "and asked for once");
    await rpc(db, service, "record_advisories", {
      results: [{ package: "deep", version: "2.0.0", error: "The advisory source answered 405" }],
    });
    assert.equal((await record(row, wanted)).body.error, "The advisory source answered 405");
    await db.pool.query(
      "update private.package_checks set attempted_at = now() - interval '2 minutes' where package = 'deep'",
    );
    await db.pool.query(
      "update private.package_checks set requested_at = now() - interval '3 minutes' where package = 'deep'",
    );
    assert.equal((await record(row, wanted)).body.error, undefined, "an old failure is tried again");
    assert.deepEqual(await asked(), ["@elizaos/plugin-clean", "deep"]);
    const look = (advisories: object[]) =>
      rpc(db, service, "record_advisories", {
        results: [
          { package: "@elizaos/plugin-clean", version: "1.0.0", advisories: [] },
          { package: "deep", version: "2.0.0", advisories },
        ],
      });
    await look([{ id: "GHSA-1", severity: "low", title: "hole" }]);
    const holed = await record(row, wanted);
    assert.equal(holed.body.reason, "PLUGIN_NOT_ALLOWED");
    assert.match(holed.body.message, /deep 2\.0\.0 \(GHSA-1\)/);
    await look([]);
    assert.equal((await record(row, wanted)).body.accepted, true);
  });

  test("the scan judges the packages of the tree", async () => {
    const { body } = await launch(["@elizaos/plugin-scanned"]);
    const row = await claim(body.agentId);
    await record(row, resolution(digest("9"), [{ name: "@elizaos/plugin-scanned", version: "1.0.0" }]));
    // A new lock file is looked up at once.
    const { body: due } = await rpc(db, service, "claim_advisories", { runtime: null, max_count: 5000 });
    assert.ok(due.some((target: { package: string }) => target.package === "@elizaos/plugin-scanned"));
    await rpc(db, service, "record_advisories", {
      results: [
        {
          package: "@elizaos/plugin-scanned",
          version: "1.0.0",
          advisories: [{ id: "GHSA-2", severity: "critical", title: "hole" }],
        },
      ],
    });
    const { body: scanned } = await rpc(db, user(ada), "scan_agent", { agent_id: body.agentId });
    const checks = scanned.results.findings.map((finding: { check: string }) => finding.check);
    assert.deepEqual(checks.sort(), ["GHSA-2", "PLUGIN_INSTALL_SCRIPT", "PLUGIN_LICENCE"]);
  });

  test("a reason without a phase shows how far an install is, and goes with it", async () => {
    const { body } = await launch(["@elizaos/plugin-x"]);
    const row = await claim(body.agentId);
    const report = (of: object) =>
      rpc(db, service, "report_deployment", {
        agent_id: body.agentId,
        generation: row.generation,
        lease_token: row.leaseToken,
        report: of,
      });
    await report({ phase: "DEPLOYING" });
    await report({ reason: "INSTALLING", message: "Installing plugins: 12 MB, 40 of 410 packages" });
    const under = await status(body.agentId);
    assert.deepEqual([under.status, under.reason], ["DEPLOYING", "INSTALLING"]);
    assert.match(under.message, /12 MB, 40 of 410/);
    await report({ phase: "DEPLOYED", readyReplicas: 1, currentReplicas: 1 });
    assert.equal((await status(body.agentId)).reason, null);
  });

  test("lock files that no revision names are forgotten after a day", async () => {
    await db.pool.query(
      "insert into private.plugin_trees (id, lock, created_at) values ($1, '{}', now() - interval '2 days')",
      [digest("0")],
    );
    await db.pool.query(
      "update private.plugin_trees set created_at = now() - interval '2 days' where id = $1",
      [digest("a")],
    );
    await db.pool.query("select private.forget_plugin_trees()");
    const { rows } = await db.pool.query("select id from private.plugin_trees where id = any ($1)", [
      [digest("0"), digest("a")],
    ]);
    assert.deepEqual(rows, [{ id: digest("a") }]);
  });
});

describe("GET /api/plugins", () => {
  const list = async (args: Record<string, unknown>) => (await rpc(db, user(ada), "list_plugins", args)).body;

  test("tells known plugins that the rules allow, with settings and engine", async () => {
    const { plugins, total } = await list({ query: "discord" });
    assert.equal(total, 1);
    assert.equal(plugins[0].name, "@elizaos/plugin-discord");
    assert.equal(plugins[0].engine, "elizaos");
    assert.ok((await list({ query: "coins CHAINS" })).plugins[0].settings[0].name === "COINGECKO_API_KEY");
    await rules(["@elizaos/plugin-web3", "deny"]);
    assert.equal((await list({ query: "web3" })).total, 0);
    await db.pool.query("delete from private.plugin_rules where pattern = '@elizaos/plugin-web3'");
  });

  test("shows the newest version, also after a launch with an older one", async () => {
    const name = "@elizaos/plugin-versions";
    const use = async (version: string) => {
      const { body } = await launch([`${name}@${version}`]);
      const kept = await record(
        await claim(body.agentId),
        resolution(digest(version.slice(2, 3)), [{ name, version }]),
      );
      assert.equal(kept.body.accepted, true, JSON.stringify(kept.body));
      return (await list({ query: name })).plugins[0].version;
    };
    assert.equal(await use("1.3.9"), "1.3.9");
    assert.equal(await use("1.2.0"), "1.3.9");
    assert.equal(await use("1.4.0-beta.1"), "1.4.0-beta.1");
    assert.equal(await use("1.4.0"), "1.4.0");
  });

  test("pages, and names a wrong limit", async () => {
    const { plugins, total } = await list({ limit: 1, offset: 1 });
    assert.equal(plugins.length, 1);
    assert.ok(total > 2);
    const names: string[] = [];
    for (let after: string | null | undefined; after !== null; ) {
      const page = await list({ limit: 2, ...(after === undefined ? {} : { after }) });
      names.push(...page.plugins.map((plugin: { name: string }) => plugin.name));
      after = page.nextCursor;
    }
    assert.deepEqual(names, [...new Set(names)].sort());
    assert.equal(names.length, total);
    const { status, body } = await rpc(db, user(ada), "list_plugins", { limit: 0 });
    assert.equal(status, 400);
    assert.ok("limit" in JSON.parse(body.details));
  });
});

test("SQL and the runtime agree which plugins are built in", async () => {
  const { rows } = await db.pool.query("select private.built_in_plugins() as names");
  assert.deepEqual(rows[0].names, [...BUILT_IN_PLUGINS]);
});
