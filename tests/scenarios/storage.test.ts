// Files of agents through supabase-js: their owner may do everything with them, nobody else anything, and they go with the agent.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, test } from "vitest";
import { api, forgedToken } from "../helpers/agents.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

const BUCKETS = ["agent-assets", "agent-backups"] as const;

let stack: TestStack;
let alice: TestUser;
let bob: TestUser;
let agentId: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  [alice, bob] = await Promise.all([stack.createUser(), stack.createUser()]);
  agentId = await define(alice);
});
afterAll(() => stack.stop());

/** A definition that is never deployed. */
async function define(user: TestUser): Promise<string> {
  const { data, error } = await user.client
    .from("agents")
    .insert({ name: "with files" })
    .select("id")
    .single();
  assert.equal(error, null);
  return data?.id;
}

const assets = (client: SupabaseClient) => client.storage.from("agent-assets");
const text = (content: string) => new Blob([content], { type: "text/plain" });
const withToken = (token: string) =>
  createClient(stack.info.apiUrl, stack.info.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { headers: { authorization: `Bearer ${token}` } },
  });

describe("the owner", () => {
  for (const bucket of BUCKETS) {
    test(`uploads, lists, reads, replaces, moves, copies and removes in ${bucket}`, async () => {
      const files = alice.client.storage.from(bucket);
      const type = { contentType: "application/json" };
      assert.equal((await files.upload(`${agentId}/notes/a file.json`, '{"v":1}', type)).error, null);
      assert.equal((await files.upload(`${agentId}/top.json`, '{"v":1}', type)).error, null);
      assert.notEqual((await files.upload(`${agentId}/top.json`, '{"v":2}', type)).error, null, "exists");
      assert.equal(await (await files.download(`${agentId}/top.json`)).data?.text(), '{"v":1}');
      const replaced = await files.upload(`${agentId}/top.json`, '{"v":2}', { ...type, upsert: true });
      assert.equal(replaced.error, null);
      assert.equal(await (await files.download(`${agentId}/top.json`)).data?.text(), '{"v":2}');
      assert.equal((await files.update(`${agentId}/top.json`, '{"v":3}', type)).error, null);

      const list = (await files.list(agentId)).data ?? [];
      assert.deepEqual(
        list.map(({ name, id }) => [name, id === null]),
        [
          ["notes", true],
          ["top.json", false],
        ],
      );
      assert.equal(list[1]?.metadata?.size, 7);
      assert.equal(list[1]?.metadata?.mimetype, "application/json");
      assert.deepEqual(
        (await files.list(`${agentId}/notes`)).data?.map(({ name }) => name),
        ["a file.json"],
      );

      assert.equal((await files.copy(`${agentId}/top.json`, `${agentId}/copy.json`)).error, null);
      assert.equal((await files.move(`${agentId}/copy.json`, `${agentId}/notes/moved.json`)).error, null);
      assert.equal((await files.info(`${agentId}/notes/moved.json`)).error, null);
      const all = ["top.json", "notes/a file.json", "notes/moved.json"].map((name) => `${agentId}/${name}`);
      assert.equal((await files.remove(all)).data?.length, 3);
      assert.deepEqual((await files.list(agentId)).data, []);
    });
  }

  test("signs links for reading and uploading, which need no key", async () => {
    const files = assets(alice.client);
    await files.upload(`${agentId}/signed.txt`, text("signed"));
    const { data } = await files.createSignedUrl(`${agentId}/signed.txt`, 60);
    assert.equal(await (await fetch(data?.signedUrl ?? "")).text(), "signed");
    const slot = await files.createSignedUploadUrl(`${agentId}/later.txt`);
    assert.equal(slot.error, null);
    const later = await assets(stack.client()).uploadToSignedUrl(
      `${agentId}/later.txt`,
      slot.data?.token ?? "",
      text("later"),
    );
    assert.equal(later.error, null);
    assert.equal(await (await files.download(`${agentId}/later.txt`)).data?.text(), "later");
  });

  test("a link with a token that expired, was changed or is none is refused as hosted does", async () => {
    const files = assets(alice.client);
    await files.upload(`${agentId}/link.txt`, text("link"));
    const signed = async (seconds: number) =>
      new URL((await files.createSignedUrl(`${agentId}/link.txt`, seconds)).data?.signedUrl ?? "");
    const short = await signed(1);
    const long = await signed(60);
    const answer = async (link: URL, token?: string) => {
      if (token !== undefined) link.searchParams.set("token", token);
      const response = await fetch(link);
      return [response.status, ((await response.json()) as { message: string }).message];
    };
    const token = long.searchParams.get("token") ?? "";
    assert.deepEqual(await answer(long, "nonsense"), [400, "Invalid Compact JWS"]);
    const [head, payload] = token.split(".");
    assert.deepEqual(await answer(long, `${head}.${payload}.AAAA`), [400, "signature verification failed"]);
    const end = JSON.parse(
      Buffer.from(short.searchParams.get("token")?.split(".")[1] ?? "", "base64url").toString(),
    ).exp;
    await sleep(Math.max(0, (end + 1) * 1000 - Date.now()));
    assert.deepEqual(await answer(short), [400, '"exp" claim timestamp check failed']);
  });

  test("may not put files anywhere but under an agent of theirs", async () => {
    for (const path of ["a.txt", agentId, `${agentId}x/a.txt`, "agent-nobody/a.txt", `x/${agentId}/a.txt`]) {
      assert.notEqual((await assets(alice.client).upload(path, text("x"))).error, null, path);
    }
    await assets(alice.client).upload(`${agentId}/mine.txt`, text("mine"));
    const theirs = await define(bob);
    assert.notEqual((await assets(alice.client).copy(`${agentId}/mine.txt`, `${theirs}/a.txt`)).error, null);
    assert.notEqual((await assets(alice.client).move(`${agentId}/mine.txt`, `${theirs}/a.txt`)).error, null);
    assert.equal((await assets(alice.client).download(`${agentId}/mine.txt`)).error, null);
  });

  test("meets the buckets' limits on size and type; what clients send by default is taken", async () => {
    const files = assets(alice.client);
    assert.notEqual(
      (await files.upload(`${agentId}/page.html`, "<p>", { contentType: "text/html" })).error,
      null,
    );
    const contentType = "text/plain;charset=UTF-8";
    for (const bucket of BUCKETS)
      assert.equal(
        (await alice.client.storage.from(bucket).upload(`${agentId}/plain.txt`, "plain")).error,
        null,
      );
    assert.equal(
      (await files.download(`${agentId}/plain.txt`)).data?.type.replace("; ", ";").toLowerCase(),
      contentType.toLowerCase(),
    );

    await stack.sql("update storage.buckets set file_size_limit = 1000 where id = 'agent-backups'");
    try {
      const backups = alice.client.storage.from("agent-backups");
      const big = Buffer.alloc(1001);
      const type = { contentType: "application/octet-stream" };
      assert.notEqual((await backups.upload(`${agentId}/big`, big, type)).error, null);
      const stream = new Blob([big]).stream();
      assert.notEqual(
        (await backups.upload(`${agentId}/big`, stream, { ...type, duplex: "half" })).error,
        null,
        "its length is not declared",
      );
      assert.equal((await backups.upload(`${agentId}/fits`, big.subarray(1), type)).error, null);
    } finally {
      await stack.sql("update storage.buckets set file_size_limit = 52428800 where id = 'agent-backups'");
    }
  });
});

describe("the quota", () => {
  const TEXT = { contentType: "text/plain" };
  const octets = (n: number) => Buffer.alloc(n, "x");
  const allow = (user: TestUser, storage: number, files = 1000) =>
    stack.sql("update public.quotas set max_storage = $2, max_files = $3 where user_id = $1", [
      user.id,
      storage,
      files,
    ]);
  const used = async (user: TestUser) => {
    const { data } = await user.client.from("storage_usage").select("files, bytes");
    return [
      (data ?? []).reduce((sum, row) => sum + row.files, 0),
      (data ?? []).reduce((sum, row) => sum + row.bytes, 0),
    ];
  };
  let carol: TestUser;
  let own: string;

  beforeAll(async () => {
    carol = await stack.createUser();
    own = await define(carol);
    await allow(carol, 1000, 3);
  });
  afterAll(() => assets(carol.client).remove(["a", "b", "c", "d", "e", "f"].map((name) => `${own}/${name}`)));

  test("bounds bytes and files, says which, counts differences, and what is deleted is free again", async () => {
    const files = assets(carol.client);
    assert.equal((await files.upload(`${own}/a`, octets(600), TEXT)).error, null);
    const refused = await files.upload(`${own}/b`, octets(401), TEXT);
    assert.match(
      refused.error?.message ?? "",
      /^RESOURCE_LIMIT_EXCEEDED: Quota of 1000 bytes .*exceeded by 1 byte\./,
    );
    assert.equal((refused.error as { statusCode?: string } | null)?.statusCode, "403");
    assert.deepEqual(await used(carol), [1, 600]);
    assert.equal((await files.list(own)).data?.length, 1);

    // Replaced: by what just fits, then by too much, which leaves what was there.
    const replace = (n: number) => files.upload(`${own}/a`, octets(n), { ...TEXT, upsert: true });
    assert.equal((await replace(1000)).error, null);
    assert.match((await replace(1001)).error?.message ?? "", /^RESOURCE_LIMIT_EXCEEDED/);
    assert.equal((await files.download(`${own}/a`)).data?.size, 1000);
    assert.match((await files.copy(`${own}/a`, `${own}/b`)).error?.message ?? "", /^RESOURCE_LIMIT_EXCEEDED/);
    assert.equal((await replace(300)).error, null);

    assert.equal((await files.copy(`${own}/a`, `${own}/b`)).error, null);
    const backups = carol.client.storage.from("agent-backups");
    const json = { contentType: "application/json" };
    assert.equal((await backups.upload(`${own}/c`, "{}", json)).error, null);
    assert.deepEqual(await used(carol), [3, 602]);
    const fourth = await files.upload(`${own}/d`, octets(0), TEXT);
    assert.match(fourth.error?.message ?? "", /^RESOURCE_LIMIT_EXCEEDED: Quota of 3 files /);
    assert.equal((await backups.remove([`${own}/c`])).error, null);
    assert.equal((await files.upload(`${own}/d`, octets(0), TEXT)).error, null);
    assert.equal((await files.move(`${own}/d`, `${own}/e`)).error, null);
    assert.deepEqual(await used(carol), [3, 600]);
    assert.equal((await files.remove([`${own}/a`, `${own}/b`, `${own}/e`])).data?.length, 3);
    assert.deepEqual(await used(carol), [0, 0]);
  });

  test("holds for many uploads at once, and for nobody else", async () => {
    const files = assets(carol.client);
    const names = ["a", "b", "c", "d", "e", "f"];
    const results = await Promise.all(names.map((name) => files.upload(`${own}/${name}`, octets(400), TEXT)));
    assert.equal(results.filter(({ error }) => error === null).length, 2);
    assert.deepEqual(await used(carol), [2, 800]);
    // What was refused after its bytes were written left none.
    const kept = names.filter((_, i) => results[i]?.error === null);
    assert.deepEqual((await files.list(own)).data?.map(({ name }) => name).sort(), kept.sort());

    const dave = await stack.createUser();
    const theirs = await define(dave);
    assert.equal((await assets(dave.client).upload(`${theirs}/big`, octets(5000), TEXT)).error, null);
    assert.deepEqual(await used(dave), [1, 5000]);
  });

  test("holds for signed upload links, whose bytes come before the judgement", async () => {
    const files = assets(carol.client);
    const slot = await files.createSignedUploadUrl(`${own}/late`);
    assert.equal(slot.error, null);
    const late = await assets(stack.client()).uploadToSignedUrl(
      `${own}/late`,
      slot.data?.token ?? "",
      octets(900),
      TEXT,
    );
    assert.match(late.error?.message ?? "", /^RESOURCE_LIMIT_EXCEEDED/);
    assert.notEqual((await files.download(`${own}/late`)).error, null);
  });

  test("is neither read nor changed by anybody else", async () => {
    for (const client of [stack.client(), withToken(forgedToken(carol))]) {
      assert.deepEqual((await client.from("storage_usage").select()).data ?? [], []);
    }
    for (const client of [bob.client, carol.client, stack.client(), withToken(forgedToken(carol))]) {
      for (const [table, change] of [
        ["storage_usage", { bytes: 0 }],
        ["quotas", { max_storage: 1_000_000 }],
      ] as const) {
        assert.notEqual((await client.from(table).update(change).eq("user_id", carol.id)).error, null, table);
      }
    }
    const { data } = await carol.client.from("quotas").select("max_storage, max_files").single();
    assert.deepEqual(data, { max_storage: 1000, max_files: 3 });
  });
});

describe("everybody else", () => {
  const path = () => `${agentId}/private.txt`;
  const others = (): [string, SupabaseClient][] => [
    ["another user", bob.client],
    ["an anonymous caller", stack.client()],
    ["a forged token", withToken(forgedToken(alice))],
  ];

  beforeAll(async () => {
    const { error } = await assets(alice.client).upload(path(), text("private"), { upsert: true });
    assert.equal(error, null);
  });

  test("reads, lists, signs, replaces, moves, removes and uploads nothing", async () => {
    for (const [who, client] of others()) {
      const files = assets(client);
      assert.notEqual((await files.download(path())).error, null, `${who} downloads`);
      assert.deepEqual((await files.list(agentId)).data ?? [], [], `${who} lists`);
      assert.deepEqual((await files.list()).data ?? [], [], `${who} lists all`);
      assert.notEqual((await files.createSignedUrl(path(), 60)).error, null, `${who} signs`);
      assert.notEqual((await files.createSignedUploadUrl(`${agentId}/x.txt`)).error, null, `${who} signs up`);
      assert.notEqual((await files.upload(`${agentId}/x.txt`, text("x"))).error, null, `${who} uploads`);
      assert.notEqual(
        (await files.upload(path(), text("x"), { upsert: true })).error,
        null,
        `${who} overwrites`,
      );
      assert.notEqual((await files.move(path(), `${agentId}/y.txt`)).error, null, `${who} moves`);
      assert.notEqual((await files.copy(path(), `${agentId}/y.txt`)).error, null, `${who} copies`);
      assert.equal((await files.remove([path()])).data?.length ?? 0, 0, `${who} removes`);
      const open = await fetch(files.getPublicUrl(path()).data.publicUrl);
      assert.equal(open.ok, false, `${who} by the public link`);
    }
    assert.equal(await (await assets(alice.client).download(path())).data?.text(), "private");
    assert.deepEqual((await assets(bob.client).list(agentId)).data, []);
  });

  test("neither reads nor changes rows of storage.objects directly", async () => {
    const answer = await stack.fetch("/rest/v1/objects", {
      token: bob.token,
      headers: { "accept-profile": "storage" },
    });
    assert.equal(answer.ok, false);
    await answer.body?.cancel();
  });

  test("a user without the permission reads and writes nothing of their own", async () => {
    const carol = await stack.createUser();
    const own = await define(carol);
    await assets(carol.client).upload(`${own}/a.txt`, text("a"));
    const without = (permission: string) =>
      stack.sql("delete from public.user_permissions where user_id = $1 and permission = $2", [
        carol.id,
        permission,
      ]);
    await without("agents:write");
    assert.notEqual((await assets(carol.client).upload(`${own}/b.txt`, text("b"))).error, null);
    assert.equal((await assets(carol.client).remove([`${own}/a.txt`])).data?.length ?? 0, 0);
    assert.equal((await assets(carol.client).download(`${own}/a.txt`)).error, null);
    await without("agents:read");
    assert.notEqual((await assets(carol.client).download(`${own}/a.txt`)).error, null);
  });

  test("the secret key may do everything", async () => {
    const files = assets(stack.client(stack.info.secretKey));
    assert.equal((await files.upload(`${agentId}/by-service.txt`, text("s"))).error, null);
    assert.equal(await (await assets(alice.client).download(`${agentId}/by-service.txt`)).data?.text(), "s");
    assert.equal((await files.remove([`${agentId}/by-service.txt`])).data?.length, 1);
  });
});

describe("a deleted agent", () => {
  /** Waits until the function `upkeep` has removed every file of an agent. */
  async function emptied(id: string): Promise<void> {
    const service = stack.client(stack.info.secretKey);
    const deadline = Date.now() + 60_000;
    for (;;) {
      const [row] = await stack.sql<{ n: number }>(
        "select count(*)::int as n from storage.objects where name like $1",
        [`${id}/%`],
      );
      if (row?.n === 0) break;
      assert.ok(Date.now() < deadline, `${row?.n} files of ${id} are still there`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.notEqual((await assets(service).download(`${id}/a.txt`)).error, null, "the bytes are gone too");
  }

  for (const [how, remove] of [
    ["through /rest/v1", (id: string) => alice.client.from("agents").delete().eq("id", id)],
    ["through /api", (id: string) => api(stack, alice, "DELETE", `/agents/${id}`)],
  ] as const) {
    test(`loses its files, at once for its owner: ${how}`, async () => {
      const id = await define(alice);
      for (const bucket of BUCKETS) {
        const files = alice.client.storage.from(bucket);
        const upload = await files.upload(`${id}/a.txt`, Buffer.from("a"), {
          contentType: "application/octet-stream",
        });
        assert.equal(upload.error, null);
      }
      const slot = await assets(alice.client).createSignedUploadUrl(`${id}/late.txt`);
      await remove(id);
      assert.notEqual((await assets(alice.client).download(`${id}/a.txt`)).error, null);
      assert.deepEqual((await assets(alice.client).list(id)).data, []);
      assert.notEqual((await assets(alice.client).upload(`${id}/b.txt`, text("b"))).error, null);
      await emptied(id);

      // A link that was signed before still takes a file; the last look finds it.
      const late = await assets(stack.client()).uploadToSignedUrl(
        `${id}/late.txt`,
        slot.data?.token ?? "",
        text("late"),
      );
      assert.equal(late.error, null);
      await stack.sql(
        "update private.file_removals set requested_at = now() - interval '1 day', next_attempt_at = now() where agent_id = $1",
        [id],
      );
      await stack.sql("select private.sweep_file_removals()");
      await emptied(id);
    });
  }
});
