// A small registry for metrics in the Prometheus text format.

type Labels = Record<string, string>;

interface Metric {
  name: string;
  type: "counter" | "gauge" | "histogram";
  help: string;
  lines(): string[];
}

/** Counters, gauges and histograms in the Prometheus text format; a hundred lines need no library. */
export class Registry {
  readonly #metrics: Metric[] = [];
  readonly #common: Labels;

  /** @param common labels that every sample carries */
  constructor(common: Labels = {}) {
    this.#common = common;
  }

  /**
   * @param known labels that are told as 0 from the start: Prometheus sees no increase in what begins with a number
   */
  counter(
    name: string,
    help: string,
    known: readonly Labels[] = [],
  ): { add(labels?: Labels, by?: number): void } {
    const values = new Map(known.map((labels) => [this.#text(labels), 0]));
    this.#metrics.push({ name, type: "counter", help, lines: () => samples(name, values, this.#text({})) });
    return {
      add: (labels = {}, by = 1) => {
        const key = this.#text(labels);
        values.set(key, (values.get(key) ?? 0) + by);
      },
    };
  }

  /** A value that is asked for when it is read; several where `read` gives a list with labels. */
  gauge(
    name: string,
    help: string,
    read: () => number | [Labels, number][],
    type: "gauge" | "counter" = "gauge",
  ): void {
    const lines = () => {
      const value = read();
      const list: [Labels, number][] = typeof value === "number" ? [[{}, value]] : value;
      return list.map(([labels, one]) => `${name}${this.#text(labels)} ${one}`);
    };
    this.#metrics.push({ name, type, help, lines });
  }

  /**
   * @param bounds the buckets' upper bounds, ascending
   * @param known labels that are told as 0 from the start, as of {@link counter}
   */
  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    known: readonly Labels[] = [],
  ): { observe(value: number, labels?: Labels): void } {
    const empty = (labels: Labels) => ({ labels, buckets: bounds.map(() => 0), sum: 0, count: 0 });
    const series = new Map(known.map((labels) => [labelText(labels), empty(labels)]));
    const lines = () =>
      [...series.values()].flatMap(({ labels, buckets, sum, count }) => [
        ...bounds.map(
          (bound, index) => `${name}_bucket${this.#text({ ...labels, le: String(bound) })} ${buckets[index]}`,
        ),
        `${name}_bucket${this.#text({ ...labels, le: "+Inf" })} ${count}`,
        `${name}_sum${this.#text(labels)} ${sum}`,
        `${name}_count${this.#text(labels)} ${count}`,
      ]);
    this.#metrics.push({ name, type: "histogram", help, lines });
    return {
      observe: (value, labels = {}) => {
        const key = labelText(labels);
        const one = series.get(key) ?? empty(labels);
        series.set(key, one);
        for (const [index, bound] of bounds.entries()) if (value <= bound) one.buckets[index]! += 1;
        one.sum += value;
        one.count += 1;
      },
    };
  }

  #text(labels: Labels): string {
    return labelText({ ...this.#common, ...labels });
  }

  get names(): string[] {
    return this.#metrics.map(({ name }) => name);
  }

  /** The text of all metrics. */
  text(): string {
    const parts = this.#metrics.map(({ name, type, help, lines }) =>
      [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines(), ""].join("\n"),
    );
    return parts.join("");
  }
}

function samples(name: string, values: ReadonlyMap<string, number>, common: string): string[] {
  if (values.size === 0) return [`${name}${common} 0`];
  return [...values].map(([labels, value]) => `${name}${labels} ${value}`);
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
