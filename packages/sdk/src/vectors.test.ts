// What both SDKs must do alike: the cases of tests/vectors/sdk.json, which the Python SDK runs too.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { createClient } from "@supabase/supabase-js";
import { beforeAll, describe, test } from "vitest";
import { AgentLaunchpadClient } from "./client.ts";
import { AgentLaunchpadError } from "./errors.ts";
import { failureOf } from "./failure.ts";
import { Http } from "./http.ts";
import { retryDelay } from "./retry.ts";

interface Told {
  code: string;
  status: number;
  message?: string;
  requestId?: string;
  details?: Record<string, unknown>;
  retryAfter?: number | null;
}
interface Exchange {
  path: string;
  query: Record<string, string>;
  response: unknown;
}
interface Deadline {
  name: string;
  server: "silent" | "drip headers" | "drip body" | "answers" | "busy";
  auth?: "silent" | "unreachable" | "unreachable once";
  timeout: number;
  totalTimeout?: number;
  maxRetries?: number;
  code: string | null;
  requests: number;
}
interface Vectors {
  errors: { name: string; status: number; headers: Record<string, string>; body: string; error: Told }[];
  retries: {
    maxRetries: number;
    maxRetryWait: number;
    cases: {
      name: string;
      error: Told;
      attempt: number;
      repeatable: boolean;
      unsent: boolean;
      random: number;
      wait: number | null;
    }[];
  };
  repeats: { maxRetries: number; cases: { name: string; call: string; requests: number }[] };
  walks: {
    name: string;
    list: string;
    arguments: Record<string, string>;
    exchanges: Exchange[];
    ids: unknown[];
  }[];
  deadlines: { latest: number; cases: Deadline[] };
}

const file = new URL("../../../tests/vectors/sdk.json", import.meta.url);
const vectors: Vectors = JSON.parse(readFileSync(file, "utf8"));

describe("an answer that is an error", () => {
  for (const { name, status, headers, body, error: wanted } of vectors.errors) {
    test(name, () => {
      const error = failureOf(status, new Headers(headers), body, 0);
      const { code, message, requestId, details, retryAfter } = error;
      const { message: sentence = message, ...facts } = wanted;
      assert.deepEqual(
        { code, status: error.status, requestId, details, retryAfter },
        { requestId: undefined, details: undefined, retryAfter: undefined, ...facts },
      );
      assert.equal(message, sentence);
    });
  }
});

describe("a failed attempt", () => {
  const { maxRetries, maxRetryWait, cases } = vectors.retries;
  for (const { name, error, attempt, repeatable, unsent, random, wait } of cases) {
    test(name, () => {
      const { code, status, retryAfter } = error;
      const failed = new AgentLaunchpadError({
        code,
        status,
        message: "x",
        retryAfter: retryAfter ?? undefined,
      });
      const limits = { maxRetries, maxRetryWait: maxRetryWait * 1000 };
      const delay = retryDelay({ count: attempt, repeatable, unsent, error: failed }, limits, random);
      assert.equal(delay, wait === null ? undefined : wait * 1000);
    });
  }
});

const calls: Record<string, (client: AgentLaunchpadClient) => PromiseLike<unknown>> = {
  "agents.get": ({ agents }) => agents.get("a"),
  "agents.create": ({ agents }) => agents.create({ agentName: "a" }),
  "agents.restart": ({ agents }) => agents.restart("a"),
  "agents.update": ({ agents }) => agents.update("a", { description: "x" }),
  "agents.delete": ({ agents }) => agents.delete("a"),
  "keys.create": ({ agents }) => agents.keys.create("a", { name: "x" }),
  "keys.revoke": ({ agents }) => agents.keys.revoke("a", "k"),
  "budgets.set": ({ budgets }) =>
    budgets.set({ scope: "user", period: "day", limitMicros: 1, action: "pause" }),
  "users.updateProfile": ({ users }) => users.updateProfile({ username: "x" }),
  "users.setSecret": ({ users }) => users.setSecret("A", "b"),
  "swarms.create": ({ swarms }) => swarms.create({ name: "x" }),
  "swarms.list": ({ swarms }) => swarms.list(),
  "messages.send": ({ messages }) => messages.send({ content: "x" }),
};

describe("after a lost answer, requests of", () => {
  const { maxRetries, cases } = vectors.repeats;
  for (const { name, call, requests } of cases) {
    test(name, async () => {
      let sent = 0;
      const client = new AgentLaunchpadClient({
        supabaseClient: createClient("https://ref.supabase.co", "key", { accessToken: async () => "token" }),
        maxRetries,
        maxRetryWait: 0,
        fetch: async () => {
          sent += 1;
          throw new TypeError("fetch failed");
        },
      });
      const code = await calls[call]!(client).then(
        () => "done",
        (error: AgentLaunchpadError) => error.code,
      );
      assert.deepEqual([code, sent], ["SUPABASE_CONNECTION_ERROR", requests]);
    });
  }
});

/** A client whose server answers `exchanges` in this order. */
function clientOf(exchanges: Exchange[]): AgentLaunchpadClient {
  return new AgentLaunchpadClient({
    supabaseClient: createClient("https://ref.supabase.co", "key", { accessToken: async () => "token" }),
    baseUrl: "https://ref.supabase.co",
    maxRetries: 0,
    fetch: async (input) => {
      const url = new URL(String(input));
      const { path, query, response } = exchanges.shift() ?? assert.fail(`not asked for: ${url}`);
      assert.equal(url.pathname, path);
      const { limit: _, ...asked } = Object.fromEntries(url.searchParams);
      assert.deepEqual(asked, query);
      return Response.json(response);
    },
  });
}

const lists: Record<
  string,
  (client: AgentLaunchpadClient, filters: Record<string, string>) => AsyncIterable<unknown>
> = {
  agents: (client, filters) => client.agents.list(filters as never),
  revisions: (client) => client.agents.revisions("a"),
  keys: (client) => client.agents.keys.list("a"),
  budgets: (client) => client.budgets.list(),
  plugins: (client, filters) => client.plugins.search(filters.query!),
  usage: (client, filters) => client.usage.get(filters as never),
  securityEvents: (client, filters) => client.security.events(filters as never),
  swarms: (client) => client.swarms.list(),
  messages: (client, filters) => client.messages.list(filters as never),
};

describe("a walk", () => {
  for (const { name, list, arguments: filters, exchanges, ids } of vectors.walks) {
    test(name, async () => {
      const rest = structuredClone(exchanges);
      const shown: unknown[] = [];
      for await (const item of lists[list]!(clientOf(rest), filters)) {
        const { agentId, revision, day, id, name } = item as Record<string, unknown>;
        shown.push(agentId ?? revision ?? day ?? id ?? name);
      }
      assert.deepEqual(shown, ids);
      assert.deepEqual(rest, []);
    });
  }
});

const head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n";
const whole = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const busy =
  "HTTP/1.1 429 Too Many Requests\r\nretry-after: 5\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}";

/** A server of bytes; `requests` counts what reached it. */
async function serve(kind: Deadline["server"]) {
  const sockets = new Set<Socket>();
  const drips = new Set<NodeJS.Timeout>();
  const state = { requests: 0 };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => {
      state.requests += 1;
      if (kind === "answers") socket.end(whole);
      if (kind === "busy") socket.end(busy);
      if (!kind.startsWith("drip")) return;
      socket.write(kind === "drip body" ? `${head}\r\n` : head);
      const drip = setInterval(() => socket.write(kind === "drip body" ? " " : "x"), 50);
      drips.add(drip);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => {
    for (const drip of drips) clearInterval(drip);
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state, close };
}

/** How a session is renewed. */
function tokens(auth: Deadline["auth"]): () => Promise<string> {
  let asked = 0;
  return async () => {
    asked += 1;
    if (auth === "silent") await new Promise(() => {});
    if (auth === "unreachable" || (auth === "unreachable once" && asked === 1)) {
      throw new AgentLaunchpadError({
        code: "SUPABASE_CONNECTION_ERROR",
        message: "Cannot reach Supabase Auth",
      });
    }
    return "token";
  };
}

describe("a deadline holds for", () => {
  // Node loads fetch at its first call, which on a busy machine takes longer than the deadlines here.
  beforeAll(async () => void (await fetch("data:,")));
  const { latest, cases } = vectors.deadlines;
  for (const { name, server, auth, timeout, totalTimeout = 0, maxRetries = 0, code, requests } of cases) {
    test(name, async () => {
      const { origin, state, close } = await serve(server);
      const http = new Http({
        apiUrl: origin,
        projectUrl: origin,
        apiKey: "key",
        token: tokens(auth),
        fetch,
        timeout: timeout * 1000,
        totalTimeout: totalTimeout * 1000,
        maxRetries,
        maxRetryWait: 65_000,
        onRetry: undefined,
      });
      const started = performance.now();
      try {
        const outcome = await http.send({ method: "GET", path: "/api/health" }).then(
          () => null,
          (error: AgentLaunchpadError) => error.code,
        );
        assert.equal(outcome, code);
        assert.ok(performance.now() - started < latest * 1000, `${performance.now() - started} ms`);
        assert.equal(state.requests, requests);
      } finally {
        close();
      }
    });
  }
});
