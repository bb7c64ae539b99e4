import assert from "node:assert/strict";
import { test } from "vitest";
import { Registry } from "./prometheus.ts";

test("every sample of a registry carries its common labels", () => {
  const registry = new Registry({ installation: "one" });
  registry.counter("never_total", "Nothing yet.");
  registry.counter("c_total", "Things.").add({ ok: "yes" });
  registry.gauge("g", "A level.", () => 2);
  registry.histogram("h", "Times.", [1]).observe(0.5);
  const samples = registry
    .text()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  assert.deepEqual(samples, [
    'never_total{installation="one"} 0',
    'c_total{installation="one",ok="yes"} 1',
    'g{installation="one"} 2',
    'h_bucket{installation="one",le="1"} 1',
    'h_bucket{installation="one",le="+Inf"} 1',
    'h_sum{installation="one"} 0.5',
    'h_count{installation="one"} 1',
  ]);
});

test("metrics are in the Prometheus text format", () => {
  const registry = new Registry();
  const counter = registry.counter("c_total", "Things.");
  registry.gauge("g", "A level.", () => [[{ kind: 'a"b' }, 2]]);
  const histogram = registry.histogram("h_seconds", "Times.", [0.1, 1]);
  counter.add({ ok: "yes" });
  counter.add({ ok: "yes" }, 2);
  histogram.observe(0.5);
  assert.equal(
    registry.text(),
    [
      "# HELP c_total Things.",
      "# TYPE c_total counter",
      'c_total{ok="yes"} 3',
      "# HELP g A level.",
      "# TYPE g gauge",
      'g{kind="a\\"b"} 2',
      "# HELP h_seconds Times.",
      "# TYPE h_seconds histogram",
      'h_seconds_bucket{le="0.1"} 0',
      'h_seconds_bucket{le="1"} 1',
      'h_seconds_bucket{le="+Inf"} 1',
      "h_seconds_sum 0.5",
      "h_seconds_count 1",
      "",
    ].join("\n"),
  );
});
