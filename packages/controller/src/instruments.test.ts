// What the controller counts of itself, as the chart's alerts need it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "vitest";
import { createInstruments } from "./instruments.ts";

const ALERTS = new URL("../../../deploy/chart/files/alerts.yaml", import.meta.url);
/** Their labels are known only when they happen; what these count goes on for as long as the fault does. */
const OPEN = new Set(["launchpad_kubernetes_calls_total", "launchpad_kubernetes_watches_total"]);

test("what an alert counts is 0 before it happens first, so that the first burst is an increase", () => {
  const instruments = createInstruments("INSTALLATION");
  instruments.watch({
    controller: {
      queued: 0,
      reconciler: { held: new Map() },
      guard: { stopped: new Map(), foreign: new Map() },
      waits: {},
    },
    cluster: { kind: "kubernetes", countStates: () => new Map() },
    door: { held: 0 },
    telemetry: Object.fromEntries(
      ["logs", "metrics", "logSpool", "metricSpool"].map((name) => [
        name,
        { waiting: 0, shipped: 0, refused: 0, dropped: 0, bytes: 0 },
      ]),
    ),
  } as never);
  const lines = instruments.text().split("\n");
  const counted = [...readFileSync(ALERTS, "utf8").matchAll(/(?:increase|rate)\((\w+)\{([^}]*)\}\[/g)].filter(
    ([, name = ""]) => !OPEN.has(name),
  );
  assert.ok(counted.length >= 5, String(counted.length));
  for (const [, name = "", labels = ""] of counted) {
    const wanted = labels.split(",").map((label) => label.trim());
    const found = lines.filter(
      (line) => line.startsWith(`${name}{`) && wanted.every((label) => line.includes(label)),
    );
    assert.ok(found.length > 0 && found.every((line) => line.endsWith(" 0")), `${name}{${labels}}: ${found}`);
  }
});
