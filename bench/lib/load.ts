// A bounded load generator: N connections, each asking again as soon as it is answered, until the time is over.
import { Agent, request } from "node:http";

export interface Call {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

export interface LoadResult {
  /** Latencies in milliseconds. */
  readonly latencies: number[];
  readonly perSecond: number;
  /** Answers by status. */
  readonly statuses: Map<number, number>;
}

/** Asks once; resolves with status, text and time. */
export function ask(call: Call, agent: Agent): Promise<{ status: number; text: string; took: number }> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const headers = { ...call.headers };
    const { body } = call; // read once: it may be another each time
    if (body !== undefined) headers["content-length"] = String(Buffer.byteLength(body));
    const outgoing = request(call.url, { method: call.method ?? "GET", headers, agent }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => {
        const took = performance.now() - started;
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString(), took });
      });
      answer.on("error", reject);
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Loads one address with `connections` kept-alive connections for `milliseconds`. Throws when an answer is not 2xx. */
export async function load(call: Call, connections: number, milliseconds: number): Promise<LoadResult> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const latencies: number[] = [];
  const statuses = new Map<number, number>();
  const started = performance.now();
  const until = started + milliseconds;
  const worker = async () => {
    while (performance.now() < until) {
      const { status, took, text } = await ask(call, agent);
      if (status < 200 || status > 299)
        throw new Error(`${call.url} answered ${status}: ${text.slice(0, 300)}`);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      latencies.push(took);
    }
  };
  try {
    await Promise.all(Array.from({ length: connections }, worker));
  } finally {
    agent.destroy();
  }
  return { latencies, perSecond: (latencies.length * 1000) / (performance.now() - started), statuses };
}
