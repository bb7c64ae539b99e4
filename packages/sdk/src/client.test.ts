import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createClient } from "@supabase/supabase-js";
import { AgentLaunchpadClient } from "./client.ts";
import { AgentLaunchpadError } from "./errors.ts";
import { PageList } from "./page.ts";
import { fixedTokenOf } from "./session.ts";

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

describe("an error", () => {
  test("is recognised across copies of the package", () => {
    const ofOtherCopy = Object.assign(new Error("x"), {
      [Symbol.for("@agent-launchpad/sdk/AgentLaunchpadError")]: true,
    });
    assert.ok(ofOtherCopy instanceof AgentLaunchpadError);
    assert.ok(!(new Error("x") instanceof AgentLaunchpadError));
  });
});

describe("a list", () => {
  /** Numbers from 0, of which one more is put in front at each page. */
  function growing(total: number, limit: number) {
    const reads: number[] = [];
    const list = new PageList<number[], number>({
      read: async (offset, count) => {
        const first = -reads.push(offset) + 1;
        return Array.from({ length: total - first }, (_, index) => first + index).slice(
          offset,
          offset + count,
        );
      },
      items: (page) => page,
      id: (item) => item,
      offset: 0,
      limit,
    });
    return { list, reads };
  }

  test("asks nothing before it is used, and one page when it is awaited", async () => {
    const { list, reads } = growing(5, 2);
    assert.deepEqual(reads, []);
    assert.deepEqual(await list, [0, 1]);
    assert.deepEqual(await list, [0, 1]);
    assert.deepEqual(reads, [0]);
  });

  test("shows an item once that moved to the next page meanwhile", async () => {
    assert.deepEqual(await growing(5, 2).list.all(), [0, 1, 2, 3, 4]);
  });

  test("ends with a page that has nothing new, and when its reader leaves", async () => {
    const { list, reads } = growing(3, 10);
    assert.deepEqual(await list.all(), [0, 1, 2]);
    assert.deepEqual(reads, [0, 3]);
    const left = growing(100, 2);
    for await (const item of left.list) if (item === 2) break;
    assert.equal(left.reads.length, 2);
  });

  /** Numbers below `size`, of which the server gives at most `largest` at once. */
  const capped = (size: number, limit: number, largest: number, total?: (page: number[]) => number) => {
    const reads: number[] = [];
    const list = new PageList<number[], number>({
      read: async (offset, count) => {
        reads.push(offset);
        return Array.from({ length: size }, (_, index) => index).slice(
          offset,
          offset + Math.min(count, largest),
        );
      },
      items: (page) => page,
      id: (item) => item,
      ...(total && { total }),
      offset: 0,
      limit,
    });
    return { list, reads };
  };

  test("is whole where the server gives smaller pages than asked for", async () => {
    const { list, reads } = capped(12, 15, 10);
    assert.equal((await list.all()).length, 12);
    assert.deepEqual(reads, [0, 10, 12]);
  });

  test("ends at the total that the server gives, without another request", async () => {
    const { list, reads } = capped(12, 15, 10, () => 12);
    assert.equal((await list.all()).length, 12);
    assert.deepEqual(reads, [0, 10]);
  });

  test("with a limit of 0 ends after one request", async () => {
    const { list, reads } = capped(12, 0, 10);
    assert.deepEqual(await list.all(), []);
    assert.deepEqual(reads, [0]);
  });

  test("rejects as its call does", async () => {
    const list = new PageList<number[], number>({
      read: () => Promise.reject(new Error("away")),
      items: (page) => page,
      id: (item) => item,
      offset: 0,
      limit: 2,
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
