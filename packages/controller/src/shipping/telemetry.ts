// Ships agents' log lines and metric samples to the database, or the lines to a collector.

import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { Cluster, ReplicaSample } from "../cluster/cluster.ts";
import type { Database, LogRow } from "../contract.ts";
import { errorMessage, type Log } from "../log.ts";
import { MetricRows } from "./metrics.ts";
import { createOtlpSender, type OtlpTarget } from "./otlp.ts";
import { Shipper } from "./shipper.ts";
import { Spool } from "./spool.ts";

export interface TelemetryOptions {
  database: Database;
  cluster: Cluster;
  clock: Clock;
  random: () => number;
  log: Log;
  stateDir: string;
  spoolBytes: number;
  metricsSeconds: number;
  /** Told of every sample, before it is shipped. */
  onSamples?(samples: readonly ReplicaSample[]): void;
  /** Where log lines go instead of the database. */
  otlpLogs?: OtlpTarget | undefined;
}

/** Log lines and metric samples on their way from the cluster to the database. */
export class Telemetry {
  readonly logSpool: Spool;
  readonly metricSpool: Spool;
  readonly logs: Shipper;
  readonly metrics: Shipper;
  readonly #options: TelemetryOptions;
  readonly #metricRows = new MetricRows();
  #cancel: () => void = () => {};
  #stopped = false;

  /** @throws {Error} when the spool's folders cannot be used */
  constructor(options: TelemetryOptions) {
    const { clock, cluster, database, log, otlpLogs, random, spoolBytes, stateDir } = options;
    this.#options = options;
    // Logs are many, samples few.
    this.logSpool = new Spool({ directory: join(stateDir, "spool", "logs"), maxBytes: spoolBytes * 0.75 });
    this.metricSpool = new Spool({
      directory: join(stateDir, "spool", "metrics"),
      maxBytes: spoolBytes * 0.25,
    });
    const common = { clock, random, log };
    this.logs = new Shipper({
      ...common,
      name: "logs",
      spool: this.logSpool,
      send:
        otlpLogs === undefined
          ? (rows) => database.ingestLogs(rows)
          : createOtlpSender(otlpLogs, (lines, message) => {
              this.logs.refused += lines;
              log.warn("the collector rejected lines", { lines, message });
            }),
    });
    this.metrics = new Shipper({
      ...common,
      name: "metrics",
      spool: this.metricSpool,
      send: (rows) => database.ingestMetrics(rows),
    });
    cluster.logs((line) => this.logs.add(JSON.stringify(line satisfies LogRow)));
  }

  start(): void {
    const { clock, log, metricsSeconds } = this.#options;
    if (this.#stopped) return;
    this.#cancel = clock.after(metricsSeconds * 1000, () => {
      void this.sample()
        .catch((error: unknown) => log.warn("sampling failed", { error: errorMessage(error) }))
        .finally(() => this.start());
    });
  }

  /** Takes one sample of every replica and ships it. */
  async sample(): Promise<void> {
    const { clock, cluster } = this.#options;
    const samples = await cluster.metrics();
    this.#options.onSamples?.(samples);
    for (const row of this.#metricRows.take(samples, clock.now())) this.metrics.add(JSON.stringify(row));
  }

  async stop(limitMs: number): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await Promise.all([this.logs.stop(limitMs), this.metrics.stop(limitMs)]);
  }
}
