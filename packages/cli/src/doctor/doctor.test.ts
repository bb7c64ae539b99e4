import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Health } from "@agent-launchpad/sdk";
import { describe, test } from "vitest";
import { findingsText } from "../commands/doctor.ts";
import { CliError } from "../errors.ts";
import { plain } from "../output/style.ts";
import { judgeAnswer, judgeExtensions, judgeFiles } from "./database.ts";
import { judgeMigrations, knownMigrations } from "./migrations.ts";
import { judgeHealth, judgeRls, unasked } from "./project.ts";
import { checkSchema, judgeSchema, knownFingerprint } from "./schema.ts";
import { judgeVersions } from "./versions.ts";

describe("migrations", () => {
  const known = ["1", "2", "3"].map((version) => ({ version, name: `m${version}` }));
  for (const [why, applied, state, says] of [
    ["all are there", ["1", "2", "3"], "ok", /3 migrations, up to 3_m3, all applied/],
    ["none is there", [], "problem", /supabase db push/],
    ["one is missing", ["1", "2"], "problem", /1 of 3 are missing \(3_m3\)/],
    ["one in the middle is missing", ["1", "3"], "problem", /2_m2/],
    [
      "only ones from before the first release",
      ["0"],
      "problem",
      /before the first release.*npm run upgrade/,
    ],
    ["the user's own are between", ["1", "15", "2"], "problem", /1 of 3 are missing/],
    [
      "there are later ones",
      ["1", "2", "3", "4"],
      "warning",
      /has 1 migration that this copy does not know \(4 …\); update this copy/,
    ],
  ] as const) {
    test(why, () => {
      const finding = judgeMigrations(known, applied);
      assert.equal(finding.state, state);
      assert.match(finding.message, says);
    });
  }

  test("a folder that is named is taken; one without migrations is an error", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
    t.onTestFinished(() => rm(folder, { recursive: true }));
    await assert.rejects(knownMigrations(folder, "/"), /has no migrations/);
    await writeFile(join(folder, "20260101000000_first.sql"), "");
    await writeFile(join(folder, "notes.txt"), "");
    assert.deepEqual(await knownMigrations(folder, "/"), [{ version: "20260101000000", name: "first" }]);
  });
});

describe("extensions", () => {
  const installed = ["pg_net", "pg_cron", "supabase_vault"].map((name) => ({ name, installed: true }));
  for (const [why, known, state, says] of [
    ["without pg_graphql, where there is none", installed, "ok", /^pg_net, pg_cron, supabase_vault are/],
    ["with pg_graphql", [...installed, { name: "pg_graphql", installed: true }], "ok", /pg_graphql are/],
    [
      "with pg_graphql off",
      [...installed, { name: "pg_graphql", installed: false }],
      "warning",
      /create ext/,
    ],
    ["without pg_cron", installed.filter(({ name }) => name !== "pg_cron"), "problem", /pg_cron is missing/],
  ] as const) {
    test(why, () => {
      const finding = judgeExtensions(known);
      assert.equal(finding.state, state);
      assert.match(finding.message, says);
    });
  }
});

test("files that stay behind are told with their error", () => {
  assert.equal(judgeFiles({ late: 0, error: null }).state, "ok");
  assert.equal(judgeFiles(undefined).state, "skipped");
  const { state, message } = judgeFiles({ late: 1, error: "Storage answered\n503" });
  assert.equal(state, "warning");
  assert.match(message, /1 deleted agent could not be removed \(Storage answered 503\)/);
});

describe("versions", () => {
  for (const [why, own, parts, state, says] of [
    ["the same", "0.2.0", ["0.2.0"], "ok", /this CLI 0\.2\.0, part 0\.2\.0 go together/],
    ["another patch", "0.2.0", ["0.2.7"], "ok", /go together/],
    ["one minor apart", "0.3.0", ["0.2.0"], "warning", /^One release apart: .*Update the older part soon/],
    ["two minors apart", "0.2.0", ["0.4.0"], "problem", /^More than one release apart/],
    ["another major", "1.0.0", ["0.9.0"], "problem", /^More than one release apart/],
    ["one of several apart", "0.2.0", ["0.2.0", "0.5.0"], "problem", /part 0\.5\.0/],
    ["a part that does not say", "0.2.0", [undefined], "warning", /part before 0\.2\.0/],
  ] as const) {
    test(why, () => {
      const found = judgeVersions(
        own,
        parts.map((version) => ({ name: "part", version })),
      );
      assert.equal(found.state, state);
      assert.match(found.message, says);
    });
  }
});

describe("schema", () => {
  test("without differences", () => {
    assert.equal(judgeSchema(3, []).state, "ok");
  });
  test("names the differences and the cure", () => {
    const found = judgeSchema(3, [
      { state: "missing", what: "table public.a" },
      { state: "changed", what: "function private.b()" },
    ]);
    assert.equal(found.state, "problem");
    assert.match(
      found.message,
      /^2 differences from the release \(missing table public\.a; changed function private\.b\(\)\); run `npm run upgrade/,
    );
  });
  test("names twenty at most", () => {
    const many = Array.from({ length: 25 }, (_, at) => ({
      state: "missing" as const,
      what: `table public.t${at}`,
    }));
    assert.match(judgeSchema(30, many).message, /t19; and 5 more\)/);
  });
  test("a fingerprint beside the named migrations is read; without one there is none", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
    t.onTestFinished(() => rm(folder, { recursive: true }));
    assert.equal(await knownFingerprint(join(folder, "migrations"), "/"), undefined);
    await writeFile(join(folder, "fingerprint.json"), '{"table public.a": "1"}');
    assert.deepEqual(await knownFingerprint(join(folder, "migrations"), "/"), { "table public.a": "1" });
    const silent = { query: () => Promise.reject(new Error("asked")) };
    assert.equal((await checkSchema(silent, undefined, true)).state, "skipped");
    const skipped = await checkSchema(silent, {}, false);
    assert.deepEqual([skipped.state, /see `migrations`/.test(skipped.message)], ["skipped", true]);
  });
});

describe("health", () => {
  const healthy = {
    supabase: {
      status: "HEALTHY",
      database: { status: "HEALTHY" },
      auth: { status: "HEALTHY" },
      realtime: { status: "HEALTHY" },
      storage: { status: "UNKNOWN" },
      edge_functions: { status: "HEALTHY" },
    },
    kubernetes: { status: "HEALTHY", nodes: 1, pods: 2, message: null, user_agents: 1 },
  };
  const judge = (components: object) =>
    judgeHealth({ components } as Health).map(({ state, message }) => [state, message]);

  test("what the database cannot see is no problem", () => {
    const [parts, controller] = judge(healthy);
    assert.equal(parts?.[0], "ok");
    assert.match(parts?.[1] ?? "", /4 parts are healthy; storage cannot be seen/);
    assert.equal(controller?.[0], "ok");
  });

  test("a part that is down, and a controller that is silent, are problems", () => {
    const [parts, controller] = judge({
      supabase: { ...healthy.supabase, auth: { status: "UNAVAILABLE" } },
      kubernetes: { ...healthy.kubernetes, status: "UNAVAILABLE" },
    });
    assert.deepEqual(parts, ["problem", "auth is UNAVAILABLE; see its log, or the platform's status page."]);
    assert.match(controller?.[1] ?? "", /No controller has reported/);
    assert.equal(controller?.[0], "problem");
  });

  test("row-level security: one open table is named, and a leak is told", () => {
    const table = (rls_enabled: boolean) => ({ rls_enabled, policies_count: 1 });
    const on = { a: table(true), b: table(true) };
    assert.equal(judgeRls({ tables: on, user_isolation: "ACTIVE" }).state, "ok");
    assert.match(
      judgeRls({ tables: { ...on, b: table(false) }, user_isolation: "INACTIVE" }).message,
      /It is off for b/,
    );
    assert.match(judgeRls({ tables: on, user_isolation: "INACTIVE" }).message, /saw rows of others/);
  });
});

describe("a call of the database", () => {
  const way = { check: "webhook", what: "the controller", variable: "LAUNCHPAD_WEBHOOK_SECRET" };
  const none = { status_code: null, timed_out: null, error_msg: null };
  for (const [why, answer, state, says] of [
    ["is accepted", { ...none, status_code: 202 }, "ok", /the signature was accepted/],
    [
      "is rejected",
      { ...none, status_code: 401 },
      "problem",
      /LAUNCHPAD_WEBHOOK_SECRET there must match the secret in Vault/,
    ],
    ["reaches something else", { ...none, status_code: 404 }, "problem", /answers 404/],
    ["reaches nobody", { ...none, error_msg: "Couldn't connect" }, "problem", /Couldn't connect/],
    ["is too late", { ...none, timed_out: true }, "problem", /no answer in time/],
    ["was never sent", undefined, "problem", /pg_net's worker/],
  ] as const) {
    test(why, () => {
      const finding = judgeAnswer(way, "http://c/webhooks/deployments", answer);
      assert.equal(finding.state, state);
      assert.match(finding.message, says);
    });
  }
});

test("findings for people: a mark, the check, a sentence", () => {
  const text = findingsText(
    [
      { check: "key", state: "ok", message: "Good." },
      { check: "controller", state: "problem", message: "Bad\u001b[2J." },
    ],
    { paint: plain },
  );
  assert.equal(text, "✔ key         Good.\n✘ controller  Bad.\n");
});

test("a spent rate limit is no illness of the project", () => {
  const findings = unasked(new CliError("limited", "Rate limit exceeded. Try again in 12 s."));
  assert.deepEqual(
    findings.map(({ check, state }) => [check, state]),
    ["health", "controller", "row-level security"].map((check) => [check, "skipped"]),
  );
  assert.match(findings[0]?.message ?? "", /12 s/);
  assert.equal(unasked(new CliError("unreachable", "No answer."))[0]?.state, "problem");
});
