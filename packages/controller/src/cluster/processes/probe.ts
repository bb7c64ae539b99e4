// Sends one GET request to a replica on this machine.

import { request } from "node:http";

export interface Answer {
  status: number;
  body: string;
  milliseconds: number;
}

const MOST = 1024 * 1024;

/**
 * One GET to a replica on the loopback interface.
 * @returns undefined when it does not answer in time, or not at all
 */
export function get(
  port: number,
  path: string,
  timeoutMs: number,
  headers: Record<string, string> = {},
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const started = performance.now();
    const call = request(
      { host: "127.0.0.1", port, path, agent: false, headers: { ...headers, connection: "close" } },
      (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          body += chunk;
          if (body.length > MOST) call.destroy();
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body, milliseconds: performance.now() - started }),
        );
        response.on("error", () => resolve(undefined));
      },
    );
    const timer = setTimeout(() => call.destroy(), timeoutMs);
    timer.unref();
    call.on("error", () => resolve(undefined));
    call.on("close", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
    call.end();
  });
}
