/** Ports for programs that cannot choose one themselves. */
import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { codeOf, StackError } from "./errors.ts";

export const HOST = "127.0.0.1";

/** How a second stack is started beside one that runs. */
export const BESIDE = "To run a second stack, use `npm start -- --port 0 --db-port 0`.";

/**
 * Where "any port" is looked for: below what Linux (32768–60999) and macOS (49152–65535) give to outgoing connections.
 * A port out of their range could be one's client socket by the time that the program binds it, seconds later.
 */
const FIRST = 20_000;
const LAST = 29_999;
const TRIES = 50;

/**
 * @param port a port, or 0 for any
 * @param flag how a user chooses another one
 * @returns `port` when it is free on the loopback interface, or some free port for 0
 * @throws StackError when it is taken or may not be opened
 */
export async function freePort(port: number, flag = "--db-port"): Promise<number> {
  for (let attempt = 1; ; attempt++) {
    const candidate = port === 0 ? randomInt(FIRST, LAST + 1) : port;
    const code = await tryPort(candidate);
    if (code === undefined) return candidate;
    if (port === 0 && attempt < TRIES) continue;
    const why = code === "EADDRINUSE" ? "is already in use" : `cannot be opened (${code})`;
    throw new StackError(
      `Port ${candidate} on ${HOST} ${why}; choose another with ${flag} (0 = any). ${BESIDE}`,
    );
  }
}

/** @returns why the port cannot be opened; undefined where it can */
async function tryPort(port: number): Promise<string | undefined> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once("error", reject);
      probe.listen({ host: HOST, port, exclusive: true }, resolve);
    });
    return undefined;
  } catch (error) {
    return codeOf(error) ?? String(error);
  } finally {
    await new Promise((resolve) => probe.close(resolve));
  }
}
