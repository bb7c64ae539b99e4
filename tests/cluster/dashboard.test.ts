// The chart's Grafana dashboard: Grafana's own types take it, promtool its queries, and the controller has every metric in it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { stringify } from "yaml";
import { createInstruments } from "../../packages/controller/src/instruments.ts";
import { CHART, renderChart } from "../helpers/chart.ts";
import { grafanaTypes, helm, promtool } from "../helpers/tools.ts";

const FILE = join(CHART, "files/dashboard.json");
interface Panel {
  id: number;
  type: string;
  title: string;
  options?: unknown;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { expr: string; legendFormat: string }[];
}
const dashboard = JSON.parse(readFileSync(FILE, "utf8")) as {
  uid: string;
  templating: { list: { name: string }[] };
  panels: Panel[];
};
const queries = dashboard.panels.flatMap(({ targets = [], title }) =>
  targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
);
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "dashboard-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const types = grafanaTypes();
test("Grafana's published types take it", { skip: "reason" in types }, () => {
  assert.ok("folder" in types);
  const schema = join(types.folder, "node_modules/@grafana/schema/dist/types");
  const optionsOf = (type: string) =>
    dashboard.panels.filter((panel) => panel.type === type).map(({ options }) => options);
  const source = join(folder, "dashboard.ts");
  writeFileSync(
    source,
    `import type { Dashboard } from ${JSON.stringify(join(schema, "veneer/dashboard.types"))};
import type { Options as Graph } from ${JSON.stringify(join(schema, "raw/composable/timeseries/panelcfg/x/types.gen"))};
import type { Options as Figure } from ${JSON.stringify(join(schema, "raw/composable/stat/panelcfg/x/types.gen"))};
// In JSON an enumeration's value is a plain text.
type Plain<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
export const dashboard: Plain<Dashboard> = ${JSON.stringify(dashboard)};
export const graphs: Plain<Partial<Graph>>[] = ${JSON.stringify(optionsOf("timeseries"))};
export const figures: Plain<Partial<Figure>>[] = ${JSON.stringify(optionsOf("stat"))};
`,
  );
  const compilerOptions = { noEmit: true, strict: true, skipLibCheck: true, module: "esnext", types: [] };
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...compilerOptions, moduleResolution: "bundler" }, files: [source] }),
  );
  const compiler = resolve(import.meta.dirname, "../../node_modules/.bin/tsc");
  const { status, stdout } = spawnSync(compiler, ["-p", folder], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});

const program = promtool();
test("promtool takes every query", { skip: program === undefined }, () => {
  assert.ok(queries.length > 20);
  const rules = queries.map(({ expr }, index) => ({
    record: `panel:query:${index}`,
    expr: expr.replaceAll("$__rate_interval", "5m").replaceAll("$installation", "launchpad"),
  }));
  const file = join(folder, "queries.yaml");
  writeFileSync(file, stringify({ groups: [{ name: "dashboard", rules }] }));
  const { status, stderr, stdout } = spawnSync(program as string, ["check", "rules", file], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout + stderr);
});

test("every query asks for metrics of the controller, of the chosen installation", () => {
  const instruments = createInstruments();
  instruments.watch({ controller: {}, cluster: {}, telemetry: {} } as never);
  const known = new Set(instruments.names);
  for (const { expr, title } of queries) {
    const asked = [...expr.matchAll(/\b((?:launchpad|process)_[a-z_]+)(\{[^}]*\})?/g)];
    assert.ok(asked.length > 0, title);
    for (const [, name = "", labels = ""] of asked) {
      assert.ok(known.has(name) || known.has(name.replace(/_(bucket|sum|count)$/, "")), `${title}: ${name}`);
      assert.ok(labels.includes('installation="$installation"'), `${title}: ${name}`);
    }
  }
});

test("every query finds something in what a busy controller says, with the labels of its legend", {
  skip: program === undefined,
}, () => {
  const series = busyController()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [name = ""] = /^\w+(\{[^}]*\})?/.exec(line) ?? [];
      // Everything grows: rates are numbers, and gauges are above nothing.
      return {
        series: name.replace(/\{|$/, (at) => (at === "{" ? '{pod="a",' : '{pod="a"}')),
        values: "1+3x60",
      };
    });
  const tests = queries.map(({ expr }) => ({
    expr: expr.replaceAll("$__rate_interval", "5m").replaceAll("$installation", "launchpad"),
    eval_time: "30m",
    exp_samples: [],
  }));
  const file = join(folder, "values.yaml");
  writeFileSync(
    file,
    stringify({ rule_files: [], tests: [{ interval: "1m", input_series: series, promql_expr_test: tests }] }),
  );
  const { stderr, stdout } = spawnSync(program as string, ["test", "rules", file], { encoding: "utf8" });
  const said = stdout + stderr;
  assert.ok(!/parse error|could not/.test(said), said.slice(0, 2000));
  for (const [index, { legendFormat, title }] of queries.entries()) {
    const { expr = "" } = tests[index] ?? {};
    // promtool tells only of queries whose answer is another than the empty one that is expected.
    const found = said.split(`expr: ${JSON.stringify(expr)}, time:`)[1]?.split("expr: ")[0];
    assert.ok(found !== undefined, `${title}: ${expr} finds nothing`);
    assert.ok(!found.includes("NaN"), `${title}: ${found}`);
    for (const [, label] of legendFormat.matchAll(/\{\{\s*(\w+)\s*\}\}/g))
      assert.match(found, new RegExp(`\\b${label}=`), `${title}: ${legendFormat}`);
  }
});

/** The metrics of a controller that has met everything that it counts. */
function busyController(): string {
  const instruments = createInstruments("launchpad");
  instruments.onApiCall("list", "pods", 200, 5);
  instruments.onApiCall("patch", "deployments", 503, 5);
  instruments.onLogOpening("followed");
  for (const outcome of ["started", "relisted", "failed"] as const) instruments.onWatch("pods", outcome);
  instruments.onClaim("worked", 3);
  instruments.onCall("claim_deployments", true, 5);
  instruments.onCall("heartbeat", false, 5);
  instruments.onIngressRequest("a", 200);
  const states = { waiting: 1, updating: 1, ready: 1, idle: 1, failed: 1 };
  const spool = { waiting: 1, shipped: 1, refused: 1, dropped: 1, bytes: 1 };
  instruments.watch({
    controller: {
      reconciler: { held: new Map() },
      waits: { QUEUED: 5, DEPLOYED: 3 },
      queued: 1,
      lapsed: false,
      guard: {
        hold: null,
        stopped: new Map([["agents", { count: 1 }]]),
        foreign: new Map([["another", 1]]),
        rollout: { state: "running", ...states },
      },
    },
    cluster: {
      kind: "kubernetes",
      countStates: () => new Map([["ready", 1]]),
      leftAlone: { strays: 1, keptNamespaces: 1 },
      logStreams: { readers: 2, followed: 1 },
      failingWatches: new Map([["pods", 1000]]),
      countHindered: () => ({ outdated: 1, blocked: new Map([["ImagePullBackOff", 1]]) }),
    },
    door: { held: 1 },
    telemetry: { logs: spool, metrics: spool, logSpool: spool, metricSpool: spool },
  } as never);
  // Told where a container has a limit alone.
  const limit = 'launchpad_memory_limit_bytes{installation="launchpad"} 1\n';
  return instruments.text() + (instruments.text().includes(limit.split(" ")[0] ?? "") ? "" : limit);
}

test("panels have numbers of their own, lie on the grid and do not overlap", () => {
  const cells = new Set<string>();
  for (const { gridPos, title } of dashboard.panels) {
    assert.ok(Number.isInteger(gridPos.x) && gridPos.x + gridPos.w <= 24, title);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.ok(!cells.has(`${x}/${y}`), title);
        cells.add(`${x}/${y}`);
      }
    }
  }
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
});

const rendering = { skip: helm() === undefined };
test("the chart makes a ConfigMap of it that Grafana's sidecar finds", rendering, () => {
  const isDashboard = ({ kind, metadata }: { kind: string; metadata: { name: string } }) =>
    kind === "ConfigMap" && metadata.name === "launchpad-dashboard";
  assert.equal(renderChart(helm() as string).find(isDashboard), undefined, "not unless it is asked for");
  const made = renderChart(helm() as string, {
    "dashboard.enabled": true,
    "dashboard.namespace": "monitoring",
    "dashboard.annotations.grafana_folder": "Agents",
  }).find(isDashboard);
  assert.equal(made?.metadata.namespace, "monitoring");
  assert.equal(made?.metadata.labels?.grafana_dashboard, "1");
  assert.deepEqual(JSON.parse(made?.data["launchpad.json"]), dashboard);
});
