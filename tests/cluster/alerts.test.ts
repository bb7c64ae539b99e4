// The chart's alerts, run by Prometheus' own promtool: when each fires, when it must not. Needs Go (for Helm and promtool).
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { stringify } from "yaml";
import { renderChart } from "../helpers/chart.ts";
import { helm, promtool } from "../helpers/tools.ts";

const programs = { helm: helm(), promtool: promtool() };
const options = { skip: Object.values(programs).includes(undefined) };
let folder: string;
interface Rule {
  alert: string;
  labels: { severity: string };
  annotations: { summary: string; runbook_url: string };
}
let rules: Rule[];

beforeAll(() => {
  if (options.skip) return;
  folder = mkdtempSync(join(tmpdir(), "alerts-"));
  const values = {
    "prometheusRule.enabled": true,
    "prometheusRule.runbookUrl": "https://docs.example.com/operations",
  };
  const rule = renderChart(programs.helm as string, values).find(({ kind }) => kind === "PrometheusRule");
  rules = rule?.spec.groups[0].rules;
  writeFileSync(join(folder, "rules.yaml"), stringify(rule?.spec));
});
afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const HERE = 'installation="launchpad"';
const run = (...args: string[]) => spawnSync(programs.promtool as string, args, { encoding: "utf8" });
/** Two controllers that are as they should be, for an hour. */
const WELL = ["a", "b"].map((pod) => ({
  series: `launchpad_build_info{${HERE}, pod="${pod}"}`,
  values: "1x60",
}));

interface Case {
  name: string;
  series: { series: string; values: string }[];
  /** Minutes after which the alerts are looked at. */
  at: number;
  /** Alerts that fire then, and no other. */
  fire: string[];
}

const gauge = (name: string, labels: string, values: string) => ({
  series: `${name}{${[HERE, labels].filter((text) => text !== "").join(", ")}}`,
  values,
});
/** One gauge that two healthy controllers export beside themselves. */
const alone = (
  alert: string,
  [name, labels, values]: [name: string, labels: string, values: string],
  at: number,
): Case => ({
  name: `${alert} fires on ${name}{${labels}}`,
  series: [...WELL, gauge(name, labels, values)],
  at,
  fire: [alert],
});

const unsettled = (phase: string, values: string) =>
  gauge("launchpad_oldest_unsettled_seconds", `phase="${phase}", pod="a"`, values);

const CASES: Case[] = [
  { name: "nothing fires while two controllers are healthy", series: WELL, at: 50, fire: [] },
  {
    name: "one stuck agent fires after a quarter of an hour",
    series: [...WELL, unsettled("DEPLOYING", "0+60x60")],
    at: 18,
    fire: ["LaunchpadAgentStuck"],
  },
  {
    name: "one agent that deploys for ten minutes does not fire",
    series: [...WELL, unsettled("DEPLOYING", "0+60x10 _x50")],
    at: 18,
    fire: [],
  },
  {
    name: "one deployed agent without a ready replica fires",
    series: [...WELL, unsettled("DEPLOYED", "0+60x60")],
    at: 18,
    fire: ["LaunchpadAgentDown"],
  },
  {
    name: "one of two controllers that is gone fires",
    series: [gauge("launchpad_build_info", 'pod="a"', "1x60")],
    at: 30,
    fire: ["LaunchpadControllerMissing"],
  },
  {
    name: "a controller that is replaced within minutes does not fire",
    series: [
      gauge("launchpad_build_info", 'pod="a"', "1x60"),
      gauge("launchpad_build_info", 'pod="b"', "1x10 _x5 1x45"),
    ],
    at: 19,
    fire: [],
  },
  {
    name: "controllers of another installation do not hide that none of this one runs",
    series: [{ series: 'launchpad_build_info{installation="other", pod="x"}', values: "1x60" }],
    at: 30,
    fire: ["LaunchpadControllerDown"],
  },
  {
    name: "a stuck agent of another installation is that one's alert",
    series: [
      ...WELL,
      {
        series: 'launchpad_oldest_unsettled_seconds{installation="other", phase="QUEUED"}',
        values: "0+60x60",
      },
    ],
    at: 30,
    fire: [],
  },
  {
    name: "a controller at 90 % of its memory limit fires; one at half of it does not",
    series: [
      ...WELL,
      gauge("process_resident_memory_bytes", 'pod="a"', "480000000x60"),
      gauge("launchpad_memory_limit_bytes", 'pod="a"', "536870912x60"),
      gauge("process_resident_memory_bytes", 'pod="b"', "260000000x60"),
      gauge("launchpad_memory_limit_bytes", 'pod="b"', "536870912x60"),
    ],
    at: 20,
    fire: ["LaunchpadMemoryNearLimit"],
  },
  alone("LaunchpadDatabaseAway", ["launchpad_lease_lapsed", 'pod="a"', "1x60"], 10),
  {
    name: "passes that fail fire",
    series: [
      ...WELL,
      gauge("launchpad_reconcile_seconds_count", 'outcome="failed"', "0+10x60"),
      gauge("launchpad_reconcile_seconds_count", 'outcome="worked"', "0+10x60"),
    ],
    at: 40,
    fire: ["LaunchpadPassesFail"],
  },
  alone(
    "LaunchpadApiServerErrors",
    ["launchpad_kubernetes_calls_total", 'verb="list", resource="pods", code="503"', "0+60x60"],
    40,
  ),
  alone(
    "LaunchpadForbidden",
    ["launchpad_kubernetes_calls_total", 'verb="patch", resource="pods", code="403"', "0+5x60"],
    40,
  ),
  alone(
    "LaunchpadWatchesFail",
    ["launchpad_kubernetes_watches_total", 'resource="pods", outcome="failed"', "0+5x60"],
    40,
  ),
  {
    name: "a watch that fails for ten minutes fires, however seldom it is tried",
    series: [...WELL, gauge("launchpad_watch_failing_seconds", 'resource="pods", pod="a"', "0+60x60")],
    at: 10,
    fire: ["LaunchpadWatchesFail"],
  },
  {
    name: "a watch that is back within minutes does not fire",
    series: [...WELL, gauge("launchpad_watch_failing_seconds", 'resource="pods"', "0+60x4 _x56")],
    at: 10,
    fire: [],
  },
  alone("LaunchpadRowsLost", ["launchpad_lost_rows_total", 'kind="logs"', "0+1x60"], 40),
  alone("LaunchpadWebhooksRefused", ["launchpad_webhooks_total", 'outcome="refused"', "0+1x60"], 40),
  alone("LaunchpadAgentsFail", ["launchpad_phases_total", 'phase="FAILED"', "0+1x60"], 40),
  alone("LaunchpadForeignDatabase", ["launchpad_foreign_database", 'pod="a"', "1x60"], 10),
  alone("LaunchpadRemovalsStopped", ["launchpad_removals_stopped", 'kind="agents"', "12x60"], 10),
  {
    ...alone("LaunchpadHeld", ["launchpad_hold", 'pod="a"', "1x90"], 70),
    series: [
      ...WELL.map(({ series }) => ({ series, values: "1x90" })),
      gauge("launchpad_hold", 'pod="a"', "1x90"),
    ],
  },
  alone("LaunchpadRolloutHalted", ["launchpad_rollout", 'state="halted"', "1x60"], 10),
  {
    name: "LaunchpadRolloutWaits fires after a day",
    series: [
      ...WELL.map(({ series }) => ({ series, values: "1x1500" })),
      gauge("launchpad_rollout", 'state="paused"', "1x1500"),
    ],
    at: 1450,
    fire: ["LaunchpadRolloutWaits"],
  },
  alone("LaunchpadReplicasBlocked", ["launchpad_blocked_replicas", 'reason="ImagePullBackOff"', "1x60"], 20),
  alone("LaunchpadReplicasOutdated", ["launchpad_outdated_replicas", 'pod="a"', "1x60"], 40),
  alone("LaunchpadStrayObjects", ["launchpad_stray_objects", 'pod="a"', "3x60"], 30),
  {
    name: "LaunchpadNamespacesKept fires after a day",
    series: [
      ...WELL.map(({ series }) => ({ series, values: "1x1500" })),
      gauge("launchpad_kept_namespaces", 'pod="a"', "1x1500"),
    ],
    at: 1450,
    fire: ["LaunchpadNamespacesKept"],
  },
];

test("promtool finds nothing wrong with the rules", options, () => {
  const { status, stderr, stdout } = run(
    "check",
    "rules",
    "--lint=all",
    "--lint-fatal",
    join(folder, "rules.yaml"),
  );
  assert.equal(status, 0, stdout + stderr);
});

test("each alert links to the runbook that operators named, and says how urgent it is", options, () => {
  for (const { alert, annotations, labels } of rules) {
    assert.match(annotations.runbook_url, /^https:\/\/docs\.example\.com\/operations#[a-z0-9-]+$/, alert);
    assert.ok(["critical", "warning", "info"].includes(labels.severity), alert);
    assert.ok(!/INSTALLATION|REPLICAS|RUNBOOK/.test(JSON.stringify({ annotations, alert })), alert);
  }
});

test("every alert has a case in which it fires", options, () => {
  const fired = new Set(CASES.flatMap(({ fire }) => fire));
  assert.deepEqual(
    rules.map(({ alert }) => alert).filter((alert) => !fired.has(alert)),
    [],
  );
});

for (const { at, fire, name, series } of CASES) {
  test(name, options, () => {
    // promtool compares labels and texts too: it is asked for what fires with none expected, and says what it got.
    const file = join(folder, "case.yaml");
    const cases = rules.map(({ alert }) => ({ alertname: alert, eval_time: `${at}m`, exp_alerts: [] }));
    const tests = [{ interval: "1m", input_series: series, alert_rule_test: cases }];
    writeFileSync(file, stringify({ rule_files: ["rules.yaml"], evaluation_interval: "1m", tests }));
    const { stderr, stdout } = run("test", "rules", file);
    const fired = [...(stdout + stderr).matchAll(/alertname: (\w+), time: \S+, *\n?\s*exp:/g)].map(
      ([, alert]) => alert,
    );
    assert.deepEqual(fired, fire, stdout + stderr);
  });
}
