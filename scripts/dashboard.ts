// Writes the chart's Grafana dashboard from the table below; `--check` only compares.
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

type Unit = "short" | "s" | "bytes" | "percentunit" | "ops";
/** A query and how its lines are named; `METRIC{…}` gets the chosen installation. */
type Query = [expression: string, legend: string];
interface Panel {
  title: string;
  description: string;
  unit?: Unit;
  /** A figure in place of a graph; from the second number on it is orange, from the third on red. */
  thresholds?: [orange: number, red: number];
  queries: Query[];
}
type Row = [title: string, panels: Panel[]];

const rate = (metric: string, labels = "") => `rate(${metric}{${labels}}[$__rate_interval])`;
const p95 = (metric: string, by: string, labels = "") =>
  `histogram_quantile(0.95, sum by (le, ${by}) (${rate(`${metric}_bucket`, labels)}))`;

const ROWS: Row[] = [
  [
    "Overview",
    [
      {
        title: "Controllers",
        description: "Controllers that Prometheus reaches.",
        queries: [["count(launchpad_build_info{})", ""]],
      },
      {
        title: "Agents held",
        description: "Agents whose lease a controller holds.",
        queries: [["sum(launchpad_held_deployments{})", ""]],
      },
      {
        title: "Oldest wait",
        description:
          "How long the oldest agent has waited for what its user asked for. Runbook: agents stay QUEUED.",
        unit: "s",
        thresholds: [300, 900],
        queries: [["max(launchpad_oldest_unsettled_seconds{}) or vector(0)", ""]],
      },
      {
        title: "Faulty agents",
        description: "Agents whose last pass failed; each is tried again.",
        thresholds: [1, 20],
        queries: [["sum(launchpad_faulty_deployments{})", ""]],
      },
      {
        title: "Brake",
        description: "Removals that were stopped because the database does not know so many things.",
        thresholds: [1, 1],
        queries: [["sum(max by (kind) (launchpad_removals_stopped{})) or vector(0)", ""]],
      },
      {
        title: "Hold",
        description: "1: operators hold the controllers.",
        thresholds: [1, 2],
        queries: [["max(launchpad_hold{})", ""]],
      },
    ],
  ],
  [
    "Agents",
    [
      {
        title: "Oldest wait by phase",
        description: "DEPLOYED: since it lost its last ready replica.",
        unit: "s",
        queries: [["max by (phase) (launchpad_oldest_unsettled_seconds{})", "{{phase}}"]],
      },
      {
        title: "Replicas by state",
        description: "Replicas of the agents held.",
        queries: [["sum by (state) (launchpad_replicas{})", "{{state}}"]],
      },
      {
        title: "Phases reported",
        description: "How often agents reached a phase.",
        unit: "ops",
        queries: [[`sum by (phase) (${rate("launchpad_phases_total")})`, "{{phase}}"]],
      },
      {
        title: "Passes over agents",
        description: "Passes by outcome, and agents that wait for one.",
        queries: [
          [`sum by (outcome) (${rate("launchpad_reconcile_seconds_count")})`, "{{outcome}} per second"],
          ["sum(launchpad_queued_deployments{})", "queued"],
        ],
      },
    ],
  ],
  [
    "API server",
    [
      {
        title: "Calls by verb and resource",
        description: "Calls to the API server.",
        unit: "ops",
        queries: [
          [`sum by (verb, resource) (${rate("launchpad_kubernetes_calls_total")})`, "{{verb}} {{resource}}"],
        ],
      },
      {
        title: "Calls that failed",
        description: "By code; 0 is no answer.",
        unit: "ops",
        queries: [
          [
            `sum by (code, verb, resource) (${rate("launchpad_kubernetes_calls_total", 'code!~"2.."')})`,
            "{{code}} {{verb}} {{resource}}",
          ],
        ],
      },
      {
        title: "Time of a call, 95 %",
        description: "Watches and followed logs are not timed.",
        unit: "s",
        queries: [[p95("launchpad_kubernetes_call_seconds", "verb"), "{{verb}}"]],
      },
      {
        title: "Watches and Events",
        description: "Watches started, relisted, failed; Events written, failed, dropped.",
        unit: "ops",
        queries: [
          [`sum by (outcome) (${rate("launchpad_kubernetes_watches_total")})`, "watch {{outcome}}"],
          [`sum by (outcome) (${rate("launchpad_kubernetes_events_total")})`, "event {{outcome}}"],
        ],
      },
    ],
  ],
  [
    "Database and webhooks",
    [
      {
        title: "Time of a call, 95 %",
        description: "Calls to the project's database.",
        unit: "s",
        queries: [[p95("launchpad_database_call_seconds", "call"), "{{call}}"]],
      },
      {
        title: "Calls that failed",
        description: "By the function that was called.",
        unit: "ops",
        queries: [[`sum by (call) (${rate("launchpad_database_call_failures_total")})`, "{{call}}"]],
      },
      {
        title: "Webhooks and claims",
        description: "Webhooks by outcome; agents that claims brought.",
        unit: "ops",
        queries: [
          [`sum by (outcome) (${rate("launchpad_webhooks_total")})`, "webhook {{outcome}}"],
          [`sum(${rate("launchpad_claimed_deployments_total")})`, "agents claimed"],
        ],
      },
    ],
  ],
  [
    "Logs and metrics of agents",
    [
      {
        title: "Rows on their way",
        description: "They wait here while the database is down.",
        queries: [["sum by (kind) (launchpad_spool_rows{})", "{{kind}}"]],
      },
      {
        title: "Rows delivered and lost",
        description: "Lost: the spool was full, or the database refused them for good.",
        unit: "ops",
        queries: [
          [`sum by (kind) (${rate("launchpad_shipped_rows_total")})`, "{{kind}} delivered"],
          [`sum by (kind) (${rate("launchpad_lost_rows_total")})`, "{{kind}} lost"],
        ],
      },
      {
        title: "Logs that are read",
        description: "Followed by a stream, or polled; and how often one is opened.",
        queries: [
          ["sum by (how) (launchpad_log_streams{})", "{{how}}"],
          [`sum by (how) (${rate("launchpad_log_openings_total")})`, "{{how}}: openings per second"],
        ],
      },
    ],
  ],
  [
    "Controllers",
    [
      {
        title: "Memory",
        description: "Resident memory and the container's limit.",
        unit: "bytes",
        queries: [
          ["process_resident_memory_bytes{}", "{{pod}}"],
          ["max(launchpad_memory_limit_bytes{})", "limit"],
        ],
      },
      {
        title: "CPU",
        description: "Cores in use.",
        queries: [[rate("process_cpu_seconds_total"), "{{pod}}"]],
      },
      {
        title: "Agents held by each",
        description: "Which controller holds how many agents.",
        queries: [["launchpad_held_deployments{}", "{{pod}}"]],
      },
    ],
  ],
];

const DATASOURCE = { type: "prometheus", uid: "$datasource" };
const WIDTH = 24;

function dashboard() {
  let id = 0;
  let y = 0;
  const panels = ROWS.flatMap(([title, row]) => {
    id += 1;
    const head = {
      id,
      type: "row",
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: WIDTH, h: 1 },
      panels: [],
    };
    const w = WIDTH / row.length;
    const h = title === "Overview" ? 4 : 8;
    const made = row.map((panel, index) => {
      id += 1;
      return panelOf(panel, id, { x: index * w, y: y + 1, w, h }, title === "Overview");
    });
    y += 1 + h;
    return [head, ...made];
  });
  return {
    title: "Agent Launchpad",
    uid: "agent-launchpad",
    tags: ["agent-launchpad"],
    description: "Controllers, agents and what lies between them. Written by scripts/dashboard.ts.",
    editable: true,
    schemaVersion: 39,
    time: { from: "now-3h", to: "now" },
    refresh: "30s",
    timezone: "browser",
    templating: {
      list: [
        { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus" },
        {
          name: "installation",
          label: "Installation",
          type: "query",
          datasource: DATASOURCE,
          query: { query: "label_values(launchpad_build_info, installation)", refId: "installation" },
          refresh: 2,
        },
      ],
    },
    panels,
  };
}

function panelOf(panel: Panel, id: number, gridPos: object, isFigure: boolean) {
  const { description, queries, thresholds, title, unit = "short" } = panel;
  const steps = [
    { color: "green", value: null },
    ...(thresholds ?? []).map((value, index) => ({ color: index === 0 ? "orange" : "red", value })),
  ];
  return {
    id,
    type: isFigure ? "stat" : "timeseries",
    title,
    description,
    gridPos,
    datasource: DATASOURCE,
    fieldConfig: {
      defaults: { unit, min: 0, thresholds: { mode: "absolute", steps } },
      overrides: [],
    },
    options: isFigure
      ? { reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false }, colorMode: "value" }
      : {
          legend: { calcs: [], displayMode: "list", placement: "bottom", showLegend: true },
          tooltip: { mode: "multi", sort: "desc" },
        },
    targets: queries.map(([expression, legendFormat], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: DATASOURCE,
      expr: ofInstallation(expression),
      legendFormat,
      range: !isFigure,
      instant: isFigure,
    })),
  };
}

function ofInstallation(expression: string): string {
  return expression
    .replaceAll(/\b((?:launchpad|process)_[a-z_]+)\{/g, '$1{installation="$installation", ')
    .replaceAll(", }", "}");
}

const file = resolve(import.meta.dirname, "../deploy/chart/files/dashboard.json");
const text = `${JSON.stringify(dashboard(), null, 2)}\n`;
if (!process.argv.includes("--check")) writeFileSync(file, text);
else if (readFileSync(file, "utf8") !== text) {
  process.stderr.write("deploy/chart/files/dashboard.json is not current: node scripts/dashboard.ts\n");
  process.exit(1);
}
