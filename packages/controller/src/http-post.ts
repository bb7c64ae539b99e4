// Sends POST requests over kept-open connections.

import { Agent, type ClientRequest, type RequestOptions, request } from "node:http";

export interface PostAnswer {
  status: number;
  text: string;
}

/** Sends one POST. Rejects when there is no whole answer in time. */
export type Post = (
  url: string,
  headers: Record<string, string>,
  body: string,
  timeoutMs: number,
) => Promise<PostAnswer>;

/** An answer of claims with 50 large characters has some megabytes. */
const MOST = 64 * 1024 * 1024;

/**
 * Makes a poster over kept-open connections. The http module instead of fetch: it is loaded anyway for the servers,
 * and fetch would take 15 MB more of memory (Node 24, measured).
 */
export function createPost(): Post {
  const agent = new Agent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 4 });
  let secure: typeof import("node:https") | undefined;
  let secureAgent: Agent | undefined;

  return async (url, headers, body, timeoutMs) => {
    const target = new URL(url);
    if (target.protocol === "https:" && secure === undefined) {
      secure = await import("node:https");
      secureAgent = new secure.Agent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 4 });
    }
    const send = target.protocol === "https:" && secure !== undefined ? secure.request : request;
    const options: RequestOptions = {
      method: "POST",
      headers: { ...headers, "content-length": String(Buffer.byteLength(body)) },
      agent: target.protocol === "https:" ? secureAgent : agent,
    };
    const call = () => send(target, options);
    try {
      return await exchange(call(), body, timeoutMs);
    } catch (error) {
      // The other side closed a kept connection as it was taken up again. Every call may be made twice.
      if (!(error instanceof StaleConnection)) throw error;
      return await exchange(call(), body, timeoutMs);
    }
  };
}

class StaleConnection extends Error {}

function exchange(call: ClientRequest, body: string, timeoutMs: number): Promise<PostAnswer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => call.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    timer.unref();
    let answered = false;
    call.on("response", (response) => {
      answered = true;
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > MOST) call.destroy(new Error("the answer is too large"));
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
      );
      response.on("error", reject);
    });
    call.on("error", (error: NodeJS.ErrnoException) => {
      const stale = !answered && call.reusedSocket && error.code === "ECONNRESET";
      reject(stale ? new StaleConnection(error.message) : error);
    });
    call.on("close", () => {
      clearTimeout(timer);
      reject(new Error("the connection ended before the answer"));
    });
    call.end(body);
  });
}
