// A stand-in for the agent runtime: the same environment, log lines, probes and exit codes, and behaviours on request.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

interface Settings {
  /** Exits with this code after `exitAfterMs`. */
  exitCode?: number;
  exitAfterMs?: number;
  exitReason?: string;
  exitMessage?: string;
  readyAfterMs?: number;
  neverReady?: boolean;
  ignoreStop?: boolean;
  /** Prints so many lines once it listens. */
  flood?: number;
  /** Prints the value of this variable. */
  print?: string;
}

const config = JSON.parse(readFileSync(process.env.AGENT_CONFIG_FILE ?? "", "utf8")) as {
  revision: number;
  settings?: Settings;
};
const settings = config.settings ?? {};
const replica = process.env.AGENT_REPLICA;
const started = Date.now();
const counts = { total: 0, errors: 0, seconds: 0 };
const hoard: Buffer[] = [];
let stopping = false;

function log(level: string, message: string, metadata: Record<string, unknown> = {}): void {
  const line = { timestamp: new Date().toISOString(), level, message, source: "runtime", metadata };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

if (settings.print !== undefined) {
  log("INFO", `the value is ${process.env[settings.print]}`, {
    nested: { value: process.env[settings.print] },
  });
}

if (settings.exitCode !== undefined) {
  setTimeout(() => {
    log("ERROR", settings.exitMessage ?? "something broke", { reason: settings.exitReason });
    process.exit(settings.exitCode);
  }, settings.exitAfterMs ?? 0);
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://agent");
  const send = (status: number, body: unknown) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    response.writeHead(status, { "content-type": "application/json" }).end(text);
  };
  const about = { replica, revision: config.revision, pid: process.pid };
  switch (url.pathname) {
    case "/ready": {
      const ready = !stopping && !settings.neverReady && Date.now() - started >= (settings.readyAfterMs ?? 0);
      return send(ready ? 200 : 503, { ready });
    }
    case "/health":
      return send(200, { status: "ok" });
    case "/metrics":
      return send(
        200,
        [
          `agent_requests_total ${counts.total}`,
          `agent_requests_success_total ${counts.total - counts.errors}`,
          `agent_requests_errors_total ${counts.errors}`,
          `agent_request_duration_seconds_sum ${counts.seconds}`,
        ].join("\n"),
      );
    case "/slow":
      counts.total += 1;
      setTimeout(() => send(200, about), Number(url.searchParams.get("ms")));
      return;
    case "/crash":
      log("ERROR", "crashed on request");
      process.exit(1);
      break;
    case "/leak": {
      const chunk = Buffer.alloc(Number(url.searchParams.get("mib")) * 1024 * 1024, 1);
      hoard.push(chunk);
      return send(200, { hoarded: hoard.length });
    }
    case "/environment":
      return send(200, process.env);
    case "/hang":
      return;
    case "/echo": {
      counts.total += 1;
      let body = "";
      request.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on("end", () =>
        send(200, { ...about, method: request.method, headers: request.headers, body }),
      );
      return;
    }
    default:
      counts.total += 1;
      return send(200, about);
  }
});
server.keepAliveTimeout = 75_000;
server.on("upgrade", (_request, socket) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: Upgrade\r\n\r\n");
  socket.pipe(socket);
});
server.listen(Number(process.env.PORT), process.env.HOST, () => {
  log("INFO", "listening", { port: (server.address() as AddressInfo).port });
  for (let line = 0; line < (settings.flood ?? 0); line++) log("INFO", `line ${line}`);
});

function stop(): void {
  if (settings.ignoreStop || stopping) return;
  stopping = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
}
process.on("SIGTERM", stop);
process.stdin.on("end", stop);
process.stdin.resume();
