// What the program counts, in the Prometheus text format. Probes (/health, /ready, /metrics) are not counted as requests.
import { now } from "./clock.ts";

/** Upper bounds in seconds: a model's reply lasts from tens of milliseconds to a minute. */
const BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface Metrics {
  /** Counts one answered request. A status of 400 or more is an error. */
  request(status: number, seconds: number): void;
  /** Counts one reply of the model. */
  message(tokens: { input: number; output: number }): void;
  /** Counts one failed message by its error code. */
  failure(code: string): void;
  /** Messages now being answered. */
  inFlight: number;
  /** A request was let in, probes left out; call the returned function at its end. */
  work(): () => void;
  /** The text a scrape gets. */
  render(): string;
}

/**
 * Makes the counters of one replica.
 * @param mayWork whether it works, or may work, without a request: then it is never idle
 */
export function createMetrics(
  labels: { agentId: string; replica: string },
  mayWork: () => boolean = () => false,
  clock: () => number = now,
): Metrics {
  const count = { requests: 0, success: 0, errors: 0, messages: 0, input: 0, output: 0 };
  const failures = new Map<string, number>();
  const buckets = new Array<number>(BUCKETS.length).fill(0);
  let seconds = 0;
  const started = Date.now() / 1000 - process.uptime();

  let open = 0;
  let idleSince = clock();

  return {
    inFlight: 0,
    work() {
      let over = false;
      open += 1;
      return () => {
        if (over) return;
        over = true;
        open -= 1;
        idleSince = clock();
      };
    },
    request(status, duration) {
      count.requests += 1;
      if (status < 400) count.success += 1;
      else count.errors += 1;
      seconds += duration;
      const index = BUCKETS.findIndex((bound) => duration <= bound);
      if (index >= 0) buckets[index] = (buckets[index] ?? 0) + 1;
    },
    message({ input, output }) {
      count.messages += 1;
      count.input += input;
      count.output += output;
    },
    failure(code) {
      failures.set(code, (failures.get(code) ?? 0) + 1);
    },
    render() {
      const cpu = process.cpuUsage();
      const lines: string[] = [];
      const add = (name: string, type: string, help: string, samples: [string, number][]) => {
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
        for (const [suffix, value] of samples) lines.push(`${name}${suffix} ${value}`);
      };
      const one = (name: string, type: string, help: string, value: number) =>
        add(name, type, help, [["", value]]);

      add("agent_info", "gauge", "Which replica this is.", [
        [`{agent_id="${escapeLabel(labels.agentId)}",replica="${escapeLabel(labels.replica)}"}`, 1],
      ]);
      one("agent_requests_total", "counter", "Requests answered, probes left out.", count.requests);
      one(
        "agent_requests_success_total",
        "counter",
        "Requests answered with a status below 400.",
        count.success,
      );
      one(
        "agent_requests_errors_total",
        "counter",
        "Requests answered with a status of 400 or more.",
        count.errors,
      );
      one("agent_requests_in_flight", "gauge", "Messages being answered now.", this.inFlight);
      const idle = open > 0 || this.inFlight > 0 || mayWork() ? 0 : (clock() - idleSince) / 1000;
      one(
        "agent_idle_seconds",
        "gauge",
        "How long no work has been open; 0: some is.",
        Number(idle.toFixed(3)),
      );
      let running = 0;
      add("agent_request_duration_seconds", "histogram", "Time from request to answer.", [
        ...BUCKETS.map((bound, index): [string, number] => {
          running += buckets[index] ?? 0;
          return [`_bucket{le="${bound}"}`, running];
        }),
        ['_bucket{le="+Inf"}', count.requests],
        ["_sum", Number(seconds.toFixed(6))],
        ["_count", count.requests],
      ]);
      one("agent_messages_total", "counter", "Messages the engine replied to.", count.messages);
      add(
        "agent_message_failures_total",
        "counter",
        "Messages that failed, by error code.",
        [...failures].map(([code, value]) => [`{code="${code}"}`, value]),
      );
      add("agent_tokens_total", "counter", "Tokens the provider counted.", [
        ['{direction="input"}', count.input],
        ['{direction="output"}', count.output],
      ]);
      one("process_resident_memory_bytes", "gauge", "Resident memory.", process.memoryUsage.rss());
      one(
        "process_cpu_seconds_total",
        "counter",
        "CPU time, user and system.",
        (cpu.user + cpu.system) / 1e6,
      );
      one("process_start_time_seconds", "gauge", "Start, in Unix time.", Number(started.toFixed(3)));
      return `${lines.join("\n")}\n`;
    },
  };
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
