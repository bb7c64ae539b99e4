// Runs the controller as a process: signals, fatal errors and exit codes.

import { fstatSync } from "node:fs";
import { type App, startApp } from "./app.ts";
import { readConfig } from "./config.ts";
import { createLog, errorMessage } from "./log.ts";

/** Runs the controller until it is told to stop; ends the process itself. */
export async function run(): Promise<void> {
  let stop: ((reason: string) => void) | undefined;
  let stopped: string | undefined;
  // Listened to from the first moment: a stop that comes while it starts must not be lost.
  onStopRequest((reason) => {
    stopped ??= reason;
    stop?.(reason);
  });
  const write = (line: string) => process.stderr.write(line);
  let app: App;
  let log = createLog(write, "info");
  try {
    const config = readConfig(process.env);
    log = createLog(write, config.logLevel);
    app = await startApp(config, log);
  } catch (error) {
    log.error("the controller could not start", { error: errorMessage(error) });
    process.exit(1);
  }
  process.on("unhandledRejection", (error) => {
    log.error("unhandled error", { error: errorMessage(error) });
  });
  process.stdout.write(
    `${JSON.stringify({ event: "ready", port: app.port, ingressPort: app.ingressPort })}\n`,
  );

  let stopping = false;
  stop = (reason) => {
    if (stopping) return;
    stopping = true;
    log.info("asked to stop", { reason });
    void app.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error("stopping failed", { error: errorMessage(error) });
        process.exit(1);
      },
    );
  };
  if (stopped !== undefined) stop(stopped);
}

/** SIGTERM, SIGINT, a parent that disconnects, or the end of a piped stdin: the parent is gone. */
function onStopRequest(stop: (reason: string) => void): void {
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("disconnect", () => stop("the parent disconnected"));
  // A reader of the logs that has gone must not end the agents.
  process.stdout.on("error", () => {});
  process.stderr.on("error", () => {});
  if (!isPipe(0)) return;
  process.stdin.on("error", () => stop("stdin broke"));
  process.stdin.on("end", () => stop("stdin ended"));
  process.stdin.resume();
}

/** Any other stdin (a terminal, /dev/null) says nothing about a parent. */
function isPipe(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}
