// Log lines on their way to an OpenTelemetry collector, read there with the published messages of the protocol.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { test } from "vitest";
import { systemClock } from "../../packages/controller/src/clock.ts";
import type { Cluster } from "../../packages/controller/src/cluster/cluster.ts";
import type { LogRow } from "../../packages/controller/src/contract.ts";
import { silentLog } from "../../packages/controller/src/log.ts";
import { Telemetry } from "../../packages/controller/src/shipping/telemetry.ts";
import { MemoryDatabase } from "../../packages/controller/src/testing/memory-database.ts";
import { temporaryFolder, until } from "../../packages/controller/src/testing/temporary.ts";
import { environment, findPythons } from "../../scripts/python.ts";

// Strict: a field that the message does not have, or of another type, is an error.
const READ = `
import json, sys
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
seen = []
for body in json.load(sys.stdin):
    for resource in Parse(body, ExportLogsServiceRequest()).resource_logs:
        names = {a.key: a.value.string_value for a in resource.resource.attributes}
        for record in resource.scope_logs[0].log_records:
            seen.append([names["service.name"], names["service.instance.id"], record.time_unix_nano, record.severity_number,
                         record.body.string_value, [a.key for a in record.attributes]])
print(json.dumps(seen))
`;

const [python] = await findPythons();

/** A collector that is down for its first two requests. */
async function collector() {
  const bodies: string[] = [];
  let refusals = 2;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const accepted = request.url === "/v1/logs" && request.headers["x-key"] === "k" && refusals-- <= 0;
    if (accepted) bodies.push(Buffer.concat(chunks).toString());
    response.writeHead(accepted ? 200 : 503, { "content-type": "application/json" }).end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { bodies, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/logs` };
}

test.skipIf(python === undefined)(
  "a collector that was away gets every line once, as the protocol's own messages; the database gets none",
  async (context) => {
    const { bodies, server, url } = await collector();
    const database = new MemoryDatabase(systemClock);
    let emit: (line: LogRow) => void = () => {};
    const cluster = {
      logs: (listener: typeof emit) => {
        emit = listener;
      },
      metrics: async () => [],
    } as unknown as Cluster;
    const telemetry = new Telemetry({
      database,
      cluster,
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      stateDir: temporaryFolder(context),
      spoolBytes: 4_000_000,
      metricsSeconds: 3600,
      otlpLogs: { url, headers: { "x-key": "k" } },
    });
    try {
      for (let sequence = 1; sequence <= 1200; sequence++) {
        emit({
          agentId: `agent-${sequence % 3}`,
          replica: "r",
          sequence,
          timestamp: "2026-11-30T00:00:00.123456Z",
          level: sequence % 2 === 0 ? "ERROR" : "DEBUG",
          message: `line ${sequence} with "quotes", \u2028 and 🙂`,
          source: "runtime",
          metadata: { status: 200, tags: ["a", 1.5], nested: { ok: true, none: null } },
        });
      }
      await until("all lines are shipped", async () => telemetry.logs.shipped === 1200);
    } finally {
      await telemetry.stop(1000);
      server.close();
      server.closeAllConnections();
    }
    const interpreter = await environment(python!, "../../tests/helpers/otlp-requirements.txt");
    const reading = promisify(execFile)(interpreter, ["-c", READ], { maxBuffer: 16 * 1024 * 1024 });
    reading.child.stdin?.end(JSON.stringify(bodies));
    const seen: [string, string, number, number, string, string[]][] = JSON.parse((await reading).stdout);
    assert.equal(seen.length, 1200);
    const numbers = seen.map(([, , , , message]) => Number(message.split(" ")[1]));
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      Array.from({ length: 1200 }, (_, index) => index + 1),
    );
    assert.deepEqual(
      seen.find(([, , , , message]) => message.startsWith("line 2 ")),
      [
        "agent-2",
        "r",
        Number(`${Date.UTC(2026, 10, 30) / 1000}123456000`),
        17,
        'line 2 with "quotes", \u2028 and 🙂',
        ["status", "tags", "nested", "launchpad.source", "launchpad.sequence"],
      ],
    );
    assert.equal(database.logs.size, 0);
  },
);
