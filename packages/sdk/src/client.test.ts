import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { describe, test } from "vitest";
import { AgentLaunchpadClient } from "./client.ts";
import { AgentLaunchpadError } from "./errors.ts";
import { cursorList, PageList, rowList } from "./page.ts";
import { fixedTokenOf, tokenFailure } from "./session.ts";

const KEY = "sb_publishable_x";
const auth = { persistSession: false, autoRefreshToken: false };

/** The addresses that a client asks, as a signed-in user. */
async function asked(baseUrl?: string): Promise<string> {
  let url = "";
  const client = new AgentLaunchpadClient({
    supabaseClient: createClient("https://ref.supabase.co/", KEY, { accessToken: async () => "token" }),
    ...(baseUrl === undefined ? {} : { baseUrl }),
    fetch: async (input) => {
      url = String(input);
      return new Response("{}");
    },
  });
  await client.health.get();
  return url;
}

describe("the client's options", () => {
  for (const [baseUrl, wanted] of [
    ["https://api.example.com", "https://api.example.com/api/health"],
    ["https://api.example.com/", "https://api.example.com/api/health"],
    ["https://api.example.com/api", "https://api.example.com/api/health"],
    ["https://api.example.com/some/where/", "https://api.example.com/some/where/api/health"],
    [undefined, "https://ref.supabase.co/functions/v1/api/health"],
  ] as const) {
    test(`baseUrl ${baseUrl}`, async () => assert.equal(await asked(baseUrl), wanted));
  }

  test("that cannot be used are told at once, by name", () => {
    const supabaseClient = createClient("https://ref.supabase.co", KEY, { auth });
    for (const [options, field] of [
      [undefined, "supabaseClient"],
      [{}, "supabaseClient"],
      [{ supabaseClient: {} }, "supabaseClient"],
      [{ supabaseClient, baseUrl: "api.example.com" }, "baseUrl"],
      [{ supabaseClient, baseUrl: "ftp://api.example.com" }, "baseUrl"],
    ] as const) {
      assert.throws(
        () => new AgentLaunchpadClient(options as never),
        (error) =>
          error instanceof AgentLaunchpadError &&
          error.code === "VALIDATION_ERROR" &&
          field in (error.details ?? {}),
      );
    }
  });

  test("a fixed Authorization header is the caller's token; the key itself is not", () => {
    const given = (headers: Record<string, string>) =>
      fixedTokenOf(createClient("https://ref.supabase.co", KEY, { auth, global: { headers } }));
    assert.equal(given({ authorization: "Bearer abc" }), "abc");
    assert.equal(given({ Authorization: `Bearer ${KEY}` }), undefined);
    assert.equal(given({}), undefined);
  });
});

describe("a session that is not renewed", () => {
  for (const [name, status, code] of [
    ["AuthRetryableFetchError", 0, "SUPABASE_CONNECTION_ERROR"],
    ["AuthRetryableFetchError", 502, "SUPABASE_CONNECTION_ERROR"],
    ["AuthUnknownError", undefined, "SUPABASE_CONNECTION_ERROR"],
    ["AuthApiError", 500, "SUPABASE_CONNECTION_ERROR"],
    ["AuthApiError", 429, "RATE_LIMIT_EXCEEDED"],
    ["AuthApiError", 400, "INVALID_JWT_TOKEN"],
    ["AuthSessionMissingError", 400, "INVALID_JWT_TOKEN"],
  ] as const) {
    test(`${name} with status ${status} is ${code}`, () => {
      const error = Object.assign(new Error("x"), { name, ...(status === undefined ? {} : { status }) });
      assert.equal(tokenFailure(error).code, code);
    });
  }
});

describe("an error", () => {
  test("is recognised across copies of the package", () => {
    const ofOtherCopy = Object.assign(new Error("x"), {
      [Symbol.for("@agent-launchpad/sdk/AgentLaunchpadError")]: true,
    });
    assert.ok(ofOtherCopy instanceof AgentLaunchpadError);
    assert.ok(!(new Error("x") instanceof AgentLaunchpadError));
  });

  test("of another class is no instance of a subclass", () => {
    class OwnError extends AgentLaunchpadError {}
    const facts = { code: "TIMEOUT", message: "x" };
    assert.ok(!(new AgentLaunchpadError(facts) instanceof OwnError));
    assert.ok(new OwnError(facts) instanceof OwnError && new OwnError(facts) instanceof AgentLaunchpadError);
  });
});

describe("a list", () => {
  /** The numbers below `total`, `limit` a page. */
  function numbers(total: number, limit: number) {
    const reads: (number | undefined)[] = [];
    const list = new PageList<number[], number>({
      read: async (after) => {
        reads.push(after as number | undefined);
        const first = after === undefined ? 0 : (after as number) + 1;
        return Array.from({ length: Math.min(limit, total - first) }, (_, index) => first + index);
      },
      items: (page) => page,
      next: (page) => (page.at(-1) === total - 1 ? null : page.at(-1)),
    });
    return { list, reads };
  }

  test("asks nothing before it is used, and one page when it is awaited", async () => {
    const { list, reads } = numbers(5, 2);
    assert.deepEqual(reads, []);
    assert.deepEqual(await list, [0, 1]);
    assert.deepEqual(await list, [0, 1]);
    assert.deepEqual(reads, [undefined]);
  });

  test("continues after the last item until there is no next page", async () => {
    const { list, reads } = numbers(5, 2);
    assert.deepEqual(await list.all(), [0, 1, 2, 3, 4]);
    assert.deepEqual(reads, [undefined, 1, 3]);
  });

  test("asks no more when its reader leaves", async () => {
    const { list, reads } = numbers(100, 2);
    for await (const item of list) if (item === 2) break;
    assert.equal(reads.length, 2);
  });

  test("of rows with a limit of 0 ends after one request", async () => {
    let reads = 0;
    const list = rowList(
      async () => {
        reads += 1;
        return [];
      },
      { limit: 0 },
    );
    assert.deepEqual(await list.all(), []);
    assert.equal(reads, 1);
  });

  test("counts an offset for its first page alone", async () => {
    const asked: unknown[] = [];
    const pages = [
      { ids: [1], nextCursor: "c" },
      { ids: [2], nextCursor: null },
    ];
    const list = cursorList(
      async (query) => {
        asked.push(query);
        return pages.shift()!;
      },
      ({ ids }) => ids,
      { offset: 7, limit: 1 },
    );
    assert.deepEqual(await list.all(), [1, 2]);
    assert.deepEqual(asked, [
      { offset: 7, limit: 1 },
      { after: "c", limit: 1 },
    ]);
  });

  test("rejects as its call does", async () => {
    const list = new PageList<number[], number>({
      read: () => Promise.reject(new Error("away")),
      items: (page) => page,
      next: () => null,
    });
    await assert.rejects(async () => await list, /away/);
    await assert.rejects(list.all(), /away/);
    let done = false;
    assert.equal(await list.catch(() => "caught"), "caught");
    await list
      .finally(() => {
        done = true;
      })
      .catch(() => {});
    assert.ok(done);
  });
});
