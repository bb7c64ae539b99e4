import assert from "node:assert/strict";
import { hash, randomUUID } from "node:crypto";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, test } from "vitest";
import { bootstrap } from "../postgres/bootstrap.ts";
import { asStorageError } from "./errors.ts";
import { startTestProject, type TestProject } from "./test-project.ts";

let project: TestProject;
let alice: string;
let bob: string;
const aliceId = randomUUID();

beforeAll(async () => {
  project = await startTestProject();
  alice = await project.tokenOf({ sub: aliceId, role: "authenticated" });
  bob = await project.tokenOf({ sub: randomUUID(), role: "authenticated" });
  await project.superuser.query(`insert into storage.buckets (id, name, public) values
    ('private', 'private', false), ('other', 'other', false), ('open', 'open', true);
    create policy "own folder" on storage.objects for all to authenticated
      using ((storage.foldername(name))[1] = auth.uid()::text)
      with check ((storage.foldername(name))[1] = auth.uid()::text)`);
}, 60_000);
afterAll(() => project.stop());

const put = (
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
  token?: string,
) =>
  project.ask(`/object/${path}`, {
    method: "POST",
    body,
    headers: { "content-type": "text/plain", "x-upsert": "true", ...headers },
    ...(token === undefined ? {} : { token }),
  });
const json = async (answer: Response) => (await answer.json()) as Record<string, unknown>;
const post = (path: string, body: unknown, token?: string) =>
  project.ask(path, {
    method: "POST",
    body: JSON.stringify(body),
    ...(token === undefined ? {} : { token }),
  });
/** Files that Storage keeps, whatever for. */
const kept = async () =>
  (await readdir(project.folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    .length;

describe("an object", () => {
  test.each([
    ["text/html", "text/plain", null],
    ["TEXT/HTML", "text/plain", null],
    ["text/ html", "text/plain", null],
    ["image/svg+xml", "image/svg+xml", "sandbox"],
    ["Application/XHTML+xml", "Application/XHTML+xml", "sandbox"],
    ["image/png", "image/png", null],
  ])("of type %s runs no script on this origin", async (type, shown, policy) => {
    await put("open/page", "<script>alert(1)</script>", { "content-type": type });
    const { headers } = await project.ask("/object/public/open/page", { token: null });
    const found = headers.get("content-security-policy")?.split(";")[0] ?? null;
    assert.deepEqual(
      [headers.get("content-type"), found, headers.get("x-content-type-options")],
      [shown, policy, "nosniff"],
    );
  });

  test("comes back with its facts, in ranges, and not to who has it", async () => {
    await put("private/a.txt", "0123456789", { "cache-control": "max-age=7" });
    const whole = await project.ask("/object/private/a.txt");
    assert.equal(await whole.text(), "0123456789");
    const { headers } = whole;
    assert.equal(headers.get("etag"), '"781e5e245d69b566979b86e28d23f2c7"');
    assert.deepEqual([headers.get("cache-control"), headers.get("accept-ranges")], ["max-age=7", "bytes"]);
    const range = async (asked: string) => {
      const answer = await project.ask("/object/authenticated/private/a.txt", { headers: { range: asked } });
      return [
        answer.status,
        answer.headers.get("content-range"),
        answer.status === 206 ? await answer.text() : "",
      ];
    };
    assert.deepEqual(await range("bytes=2-4"), [206, "bytes 2-4/10", "234"]);
    assert.deepEqual(await range("bytes=-3"), [206, "bytes 7-9/10", "789"]);
    assert.deepEqual(await range("bytes=8-100"), [206, "bytes 8-9/10", "89"]);
    for (const asked of ["bytes=10-", "bytes=4-2", "bytes=-0", "bytes=a-b", "lines=1-2"])
      assert.equal((await range(asked))[0], 416, asked);
    const again = (name: string, value: string) =>
      project.ask("/object/private/a.txt", { headers: { [name]: value } });
    assert.equal((await again("if-none-match", headers.get("etag") ?? "")).status, 304);
    assert.equal((await again("if-none-match", '"other"')).status, 200);
    assert.equal((await again("if-modified-since", headers.get("last-modified") ?? "")).status, 304);
    const saved = await project.ask("/object/private/a.txt?download=b%20c.txt");
    assert.match(saved.headers.get("content-disposition") ?? "", /^attachment; filename=b%20c.txt;/);
  });

  test("of HTML is plain text: no page of a user's runs here", async () => {
    await put("open/page.html", "<script>", { "content-type": "text/html" });
    const answer = await project.ask("/object/public/open/page.html", { token: null });
    assert.equal(answer.headers.get("content-type"), "text/plain");
  });

  test("in a public bucket is everybody's, in a private one its readers'", async () => {
    await put("open/a.txt", "open");
    await put(`private/${aliceId}/a.txt`, "hers", {}, alice);
    const status = async (path: string, token: string | null) => (await project.ask(path, { token })).status;
    for (const path of ["/object/open/a.txt", "/object/public/open/a.txt", "/object/info/public/open/a.txt"])
      assert.equal(await status(path, null), 200, path);
    const forged = `${alice.slice(0, -4)}AAAA`;
    for (const kind of ["", "/authenticated", "/info", "/info/authenticated"]) {
      const path = `/object${kind}/private/${aliceId}/a.txt`;
      assert.equal(await status(path, alice), 200, path);
      for (const token of [bob, forged, null]) assert.equal(await status(path, token), 400, path);
    }
    assert.equal(await status(`/object/public/private/${aliceId}/a.txt`, alice), 400);
    assert.equal((await put(`private/${aliceId}/b.txt`, "his", {}, bob)).status, 400);
    const gone = await project.ask(`/object/private/${aliceId}/a.txt`, { method: "DELETE", token: bob });
    assert.equal((await json(gone)).code, "AccessDenied");
    assert.equal(await status(`/object/private/${aliceId}/a.txt`, alice), 200);
  });

  test("moves and is copied between buckets, with what is known of it", async () => {
    await put("private/from.txt", "moved", { "x-metadata": Buffer.from('{"a":1}').toString("base64") });
    const copied = await post("/object/copy", {
      bucketId: "private",
      sourceKey: "from.txt",
      destinationBucket: "other",
      destinationKey: "copy.txt",
    });
    assert.equal((await json(copied)).Key, "other/copy.txt");
    const moved = {
      bucketId: "private",
      sourceKey: "from.txt",
      destinationBucket: "other",
      destinationKey: "to.txt",
    };
    assert.equal((await post("/object/move", moved)).status, 200);
    for (const name of ["copy.txt", "to.txt"]) {
      assert.equal(await (await project.ask(`/object/other/${name}`)).text(), "moved");
      assert.deepEqual((await json(await project.ask(`/object/info/other/${name}`))).metadata, { a: 1 });
    }
    assert.equal((await json(await project.ask("/object/private/from.txt"))).code, "NoSuchKey");
  });
});

describe("what is wrong", () => {
  test("has hosted's form, code and words", async () => {
    const said = async (answer: Promise<Response>) => {
      const response = await answer;
      const { statusCode, error, code, message } = await json(response);
      return [response.status, statusCode, error, code, message];
    };
    assert.deepEqual(await said(project.ask("/object/private/none")), [
      400,
      "404",
      "not_found",
      "NoSuchKey",
      "Object not found",
    ]);
    assert.deepEqual(await said(project.ask("/bucket/none")), [
      400,
      "404",
      "Bucket not found",
      "NoSuchBucket",
      "Bucket not found",
    ]);
    await put("private/there", "1");
    assert.deepEqual(await said(put("private/there", "2", { "x-upsert": "false" })), [
      400,
      "409",
      "Duplicate",
      "KeyAlreadyExists",
      "The resource already exists",
    ]);
    assert.deepEqual(await said(post("/object/list/private", {})), [
      400,
      "400",
      "Error",
      "InvalidRequest",
      "body must have required property 'prefix'",
    ]);
    assert.deepEqual((await said(post("/bucket", { name: "x", file_size_limit: "30MB" }))).slice(0, 4), [
      400,
      "413",
      "Payload too large",
      "EntityTooLarge",
    ]);
    assert.deepEqual((await said(project.ask("/render/image/public/open/a.png"))).slice(0, 3), [
      404,
      "404",
      "Not Found",
    ]);
    for (const expiresIn of [0, -1, 1.5, "x"])
      assert.equal((await post("/object/sign/private/there", { expiresIn })).status, 400, String(expiresIn));
  });

  test("a name that hosted refuses, or a path in disguise, is no name", async () => {
    const before = await kept();
    for (const name of [
      "ü.txt",
      "a%25b",
      "a%00b",
      "a%5Cb",
      "a#b".replace("#", "%23"),
      "x".repeat(1025),
      "%E2%80%AE",
    ]) {
      const answer = await put(`private/${name}`, "x");
      assert.equal((await json(answer)).code, "InvalidKey", name);
    }
    // Dots are part of a name, and lead nowhere.
    assert.equal((await put("private/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "x")).status, 200);
    assert.equal(await (await project.ask("/object/private/..%2F..%2Fetc%2Fpasswd")).text(), "x");
    assert.equal(await kept(), before + 1);
  });

  test("a full disk is said, and is no fault of the caller", () => {
    const error = asStorageError(Object.assign(new Error("write"), { code: "ENOSPC" }));
    assert.deepEqual(
      [error.httpStatus, error.message],
      [500, "There is no space left on the disk of Storage"],
    );
  });
});

describe("bytes and rows agree", () => {
  test("when a client leaves half way: nothing is there, and what was before stays", async () => {
    await put("private/half.txt", "before");
    const files = await kept();
    const { port } = new URL(project.url);
    for (const path of ["half.txt", "never.txt"]) {
      const socket = connect(Number(port), "127.0.0.1");
      const token = await project.tokenOf({ role: "service_role" });
      socket.write(
        `POST /storage/v1/object/private/${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\n` +
          "x-upsert: true\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nhalf",
      );
      // Its file is there once it has begun to arrive.
      while ((await kept()) === files) await new Promise((resolve) => setTimeout(resolve, 5));
      socket.destroy();
      while ((await kept()) !== files) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(await (await project.ask("/object/private/half.txt")).text(), "before");
    assert.equal((await project.ask("/object/private/never.txt")).status, 400);
  });

  test("when two write one key: one of them whole, and no file too many", async () => {
    await put("private/race.txt", "0");
    const files = await kept();
    const bodies = ["a", "b", "c", "d"].map((letter) => letter.repeat(300_000));
    const answers = await Promise.all(bodies.map((body) => put("private/race.txt", body)));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200],
    );
    assert.ok(bodies.includes(await (await project.ask("/object/private/race.txt")).text()));
    assert.equal(await kept(), files);
  });

  test("when it ends between file and row: the next start removes what no row names", async () => {
    await put("private/stays.txt", "stays");
    const files = await kept();
    const orphan = hash("sha256", "an upload that was killed", "hex");
    await mkdir(join(project.folder, "objects", orphan.slice(0, 2)), { recursive: true });
    await writeFile(join(project.folder, "objects", orphan.slice(0, 2), orphan), "never named");
    await writeFile(join(project.folder, "incoming", "half"), "half");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await project.restart();
    await project.restart(); // a stop waits for the sweep
    await put("private/next.txt", "1");
    assert.equal(await kept(), files + 1);
    assert.equal(await (await project.ask("/object/private/stays.txt")).text(), "stays");
  });

  test("when a row is there without bytes: it says so", async () => {
    await project.superuser.query(
      `insert into storage.objects (bucket_id, name, version) values ('private', 'row-only', '${randomUUID()}')`,
    );
    const answer = await json(await project.ask("/object/private/row-only"));
    assert.deepEqual([answer.statusCode, answer.message], ["404", "The resource was not found"]);
  });
});

test("list-v2 goes through folders page by page, by name and by time", async () => {
  for (const name of ["v2/b/1", "v2/a", "v2/a-b", "v2/b/2", "v2/c"]) await put(`private/${name}`, name);
  for (const sortBy of [
    undefined,
    { column: "name", order: "desc" },
    { column: "created_at", order: "asc" },
  ]) {
    const found: string[] = [];
    let cursor: unknown;
    do {
      const page = await json(
        await post("/object/list-v2/private", {
          prefix: "v2/",
          limit: 2,
          with_delimiter: true,
          cursor,
          sortBy,
        }),
      );
      for (const kind of ["folders", "objects"])
        found.push(...(page[kind] as { name: string }[]).map(({ name }) => name));
      cursor = page.nextCursor;
    } while (cursor);
    assert.deepEqual(found.sort(), ["v2/a", "v2/a-b", "v2/b/", "v2/c"]);
  }
});

test("a data folder of release 0.2.0 keeps its buckets, rows and files", async () => {
  const content = "from the last release";
  const old = await startTestProject(async (superuser, folder) => {
    // The tables as release 0.2.0 made them.
    await superuser.query(`drop table storage.objects, storage.buckets cascade;
      create table storage.buckets (id text primary key, name text not null unique, owner uuid, owner_id text,
        public boolean default false, file_size_limit bigint, allowed_mime_types text[],
        created_at timestamptz default now(), updated_at timestamptz default now());
      create table storage.objects (id uuid primary key default gen_random_uuid(),
        bucket_id text constraint objects_bucket_id_fkey references storage.buckets (id), name text, owner uuid,
        owner_id text, metadata jsonb, user_metadata jsonb,
        path_tokens text[] generated always as (string_to_array(name, '/')) stored, version text,
        created_at timestamptz default now(), updated_at timestamptz default now(),
        last_accessed_at timestamptz default now(), constraint objects_bucket_id_name_key unique (bucket_id, name));
      create index storage_objects_name_pattern_search on storage.objects (name text_pattern_ops);
      alter table storage.buckets owner to supabase_storage_admin;
      alter table storage.objects owner to supabase_storage_admin;
      insert into storage.buckets (id, name, file_size_limit) values ('old', 'old', 1000);
      insert into storage.objects (bucket_id, name, metadata, user_metadata)
        values ('old', 'a/b.txt', '"{\\"size\\": ${content.length}, \\"mimetype\\": \\"text/plain\\"}"', '"{\\"k\\":1}"')`);
    const place = join(folder, hash("sha256", "old", "hex").slice(0, 16));
    await mkdir(place, { recursive: true });
    const file = join(place, hash("sha256", "a/b.txt", "hex"));
    await writeFile(`${file}.bin`, content);
    await writeFile(`${file}.json`, "{}");
    const client = new pg.Client({ connectionString: superuser.options.connectionString ?? "" });
    await client.connect();
    for (const key of ["first", "second"]) await bootstrap(client, key);
    await client.end();
  });
  try {
    const answer = await old.ask("/object/old/a/b.txt");
    assert.equal(await answer.text(), content);
    assert.equal(answer.headers.get("content-type"), "text/plain");
    assert.deepEqual((await json(await old.ask("/object/info/old/a/b.txt"))).metadata, { k: 1 });
    assert.equal((await json(await old.ask("/bucket/old"))).file_size_limit, 1000);
    const { rows } = await old.superuser.query(
      "select conname from pg_constraint where conrelid = 'storage.objects'::regclass and contype = 'f'",
    );
    assert.deepEqual(rows, [{ conname: "objects_bucketId_fkey" }]);
    await old.restart();
    assert.equal(await (await old.ask("/object/old/a/b.txt")).text(), content);
  } finally {
    await old.stop();
  }
}, 60_000);
