import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "vitest";
import { CliError } from "../errors.ts";
import { findHere } from "./here.ts";
import { findLocalStack, LOCAL_URL } from "./local-stack.ts";
import { configFolder } from "./paths.ts";
import { movedTo, type Project, type ProjectSources, resolveProject } from "./project.ts";
import { type Session, Store } from "./store.ts";

async function scratch(t: Pick<TestContext, "onTestFinished">): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "launchpad-cli-"));
  t.onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const session: Session = {
  access_token: "a.b.c",
  refresh_token: "r",
  expires_at: 4_000_000_000,
  token_type: "bearer",
  user: { id: "u", email: "me@example.com" },
};

describe("the configuration folder", () => {
  for (const [why, env, platform, folder] of [
    ["is XDG's", { XDG_CONFIG_HOME: "/x", HOME: "/h" }, "linux", "/x/launchpad"],
    [
      "ignores a relative XDG_CONFIG_HOME, as the standard says",
      { XDG_CONFIG_HOME: "x", HOME: "/h" },
      "linux",
      "/h/.config/launchpad",
    ],
    ["is ~/.config on a Mac too", { HOME: "/h" }, "darwin", "/h/.config/launchpad"],
  ] as const) {
    test(why, () => assert.equal(configFolder(env, platform), folder));
  }
});

describe("which project is meant", () => {
  const resolve = (sources: Partial<ProjectSources>) =>
    resolveProject({ flags: {}, env: {}, profile: undefined, localStack: undefined, ...sources });
  const profile = { url: "https://profile.example.com", key: "profile-key" };
  const localStack = { url: "http://127.0.0.1:1234", key: "sb_publishable_local" };
  const supabase = { SUPABASE_URL: "https://env.example.com", SUPABASE_ANON_KEY: "anon" };
  const launchpad = { LAUNCHPAD_URL: "https://lp.example.com", LAUNCHPAD_KEY: "lp-key" };

  test("flags, LAUNCHPAD_…, the profile, SUPABASE_…, the local stack: in this order", () => {
    const all = {
      flags: { url: "https://flag.example.com", key: "k" },
      env: { ...supabase, ...launchpad },
      profile,
      localStack,
    };
    assert.equal(resolve(all).url, "https://flag.example.com");
    assert.deepEqual(
      [resolve({ ...all, flags: {} }).url, resolve({ ...all, flags: {} }).key],
      ["https://lp.example.com", "lp-key"],
    );
    assert.equal(resolve({ env: supabase, profile, localStack }).url, profile.url);
    assert.equal(resolve({ env: supabase, localStack }).key, "anon");
    assert.deepEqual(resolve({ localStack }), {
      url: localStack.url,
      key: localStack.key,
      apiUrl: "http://127.0.0.1:1234/functions/v1",
      source: "local stack",
      local: true,
    });
  });

  test("a running stack of the folder comes before the default profile, and after a named one", () => {
    const running = { ...localStack, dbUrl: "postgres://127.0.0.1:5/postgres" };
    const all = { profile, localStack: running, env: supabase };
    assert.deepEqual([resolve(all).url, resolve(all).key], [running.url, running.key]);
    assert.equal(resolve({ ...all, named: true }).url, profile.url);
    assert.equal(resolve({ ...all, env: launchpad }).url, launchpad.LAUNCHPAD_URL);
    assert.equal(resolve({ ...all, localStack }).url, profile.url, "it does not run");
  });

  test("a token of the environment goes to the default profile's project, whatever a folder says", () => {
    const running = { ...localStack, dbUrl: "postgres://127.0.0.1:5/postgres" };
    const env = { LAUNCHPAD_TOKEN: "a.b.c" };
    assert.equal(resolve({ profile, localStack: running, env }).url, profile.url);
    assert.equal(resolve({ localStack: running, env }).url, running.url, "no other project is known");
  });

  test("a key goes to no other address than its own", () => {
    assert.throws(
      () => resolve({ flags: { url: "https://flag.example.com" }, profile, localStack, env: supabase }),
      /key of https:\/\/flag\.example\.com is missing/,
    );
    assert.equal(resolve({ flags: { url: `${profile.url}/` }, profile }).key, "profile-key");
  });

  test("a new data folder's key is newer than the login's", () => {
    const running = { ...localStack, dbUrl: "postgres://127.0.0.1:5/postgres" };
    const old = { url: localStack.url, key: "old" };
    assert.equal(resolve({ profile: old, localStack: running }).key, localStack.key);
    assert.equal(resolve({ profile: old, localStack }).key, "old", "it does not run");
  });

  test("a project's reference stands for its hosted address", () => {
    const { url } = resolve({ flags: { url: "abcdefghijklmnopqrst", key: "k" } });
    assert.equal(url, "https://abcdefghijklmnopqrst.supabase.co");
  });

  for (const [why, sources, code] of [
    ["nothing is named", {}, "NO_PROJECT"],
    ["the address is none", { flags: { url: "nonsense", key: "k" } }, "BAD_URL"],
    ["the address is no web address", { flags: { url: "ftp://x", key: "k" } }, "BAD_URL"],
    ["the address holds a password", { flags: { url: "https://u:p@x.example.com", key: "k" } }, "BAD_URL"],
    ["the key is secret", { flags: { url: "https://x.example.com", key: "sb_secret_x" } }, "SECRET_KEY"],
    [
      "the key is a legacy secret one",
      {
        flags: {
          url: "https://x.example.com",
          key: `e30.${Buffer.from('{"role":"service_role"}').toString("base64url")}.x`,
        },
      },
      "SECRET_KEY",
    ],
  ] as const) {
    test(`${why}: one sentence`, () => {
      assert.throws(
        () => resolve(sources),
        (error) =>
          error instanceof CliError &&
          error.code === code &&
          error.outcome === "usage" &&
          !error.message.includes("sb_secret_"),
      );
    });
  }
});

describe("the local stack", () => {
  const keys = {
    publishableKey: "sb_publishable_abc",
    secretKey: "sb_secret_abc",
    jwtSecret: "j",
    webhookSecret: "w",
  };

  test("is found above the working directory; of its keys the publishable one alone is taken", async (t) => {
    const folder = await scratch(t);
    await mkdir(join(folder, ".launchpad"));
    await mkdir(join(folder, "a/b"), { recursive: true });
    await writeFile(join(folder, ".launchpad/keys.json"), JSON.stringify(keys));
    assert.deepEqual(await findLocalStack(join(folder, "a/b")), { url: LOCAL_URL, key: keys.publishableKey });
    const dbUrl = "postgres://postgres:x@127.0.0.1:5/postgres";
    await writeFile(
      join(folder, ".launchpad/stack.json"),
      JSON.stringify({ apiUrl: "http://127.0.0.1:99", dbUrl }),
    );
    assert.deepEqual(await findLocalStack(join(folder, "a/b")), {
      url: "http://127.0.0.1:99",
      key: keys.publishableKey,
      dbUrl,
    });
  });

  test("cannot name another machine's address", async (t) => {
    const folder = await scratch(t);
    await mkdir(join(folder, ".launchpad"));
    await writeFile(join(folder, ".launchpad/keys.json"), JSON.stringify(keys));
    for (const apiUrl of [
      "https://evil.example.com",
      "http://127.0.0.1.evil.example.com",
      "http://localhost@evil.example.com",
      7,
    ]) {
      await writeFile(join(folder, ".launchpad/stack.json"), JSON.stringify({ apiUrl, dbUrl: apiUrl }));
      assert.deepEqual(await findLocalStack(folder), { url: LOCAL_URL, key: keys.publishableKey });
    }
  });

  test("is ignored when it names a database elsewhere, in its host or in its query", async (t) => {
    const folder = await scratch(t);
    await mkdir(join(folder, ".launchpad"));
    await writeFile(join(folder, ".launchpad/keys.json"), '{"publishableKey": "sb_publishable_x"}');
    for (const dbUrl of [
      "postgres://db.example.com/postgres",
      "postgres://127.0.0.1/postgres?host=db.example.com",
      "postgres://localhost/postgres?HOST=db.example.com&port=1",
    ]) {
      await writeFile(join(folder, ".launchpad/stack.json"), JSON.stringify({ dbUrl }));
      assert.equal((await findLocalStack(folder))?.dbUrl, undefined, dbUrl);
    }
    const dbUrl = "postgres://postgres:word@127.0.0.1:5/postgres?sslmode=disable";
    await writeFile(join(folder, ".launchpad/stack.json"), JSON.stringify({ dbUrl }));
    assert.equal((await findLocalStack(folder))?.dbUrl, dbUrl, "as npm start writes it");
  });

  test("is ignored when it is damaged or gives another kind of key", async (t) => {
    const folder = await scratch(t);
    await mkdir(join(folder, ".launchpad"));
    for (const text of ["{", "[]", "null", '{"publishableKey": 1}', '{"publishableKey": "sb_secret_x"}']) {
      await writeFile(join(folder, ".launchpad/keys.json"), text);
      assert.equal(await findLocalStack(folder), undefined);
    }
  });
});

describe("the file of logins", () => {
  test("is its user's alone, and holds several profiles", async (t) => {
    const store = new Store(join(await scratch(t), "deep/launchpad"));
    assert.equal(await store.profile("default"), undefined);
    await store.update("default", () => ({ url: "https://a.example.com", key: "k", session }));
    await store.update("work", () => ({ url: "https://b.example.com", key: "l" }));
    assert.deepEqual(await store.names(), ["default", "work"]);
    assert.deepEqual((await store.profile("default"))?.session, session);
    assert.equal((await stat(store.file)).mode & 0o777, 0o600);
    assert.equal((await stat(join(store.file, ".."))).mode & 0o777, 0o700);
    await store.update("default", () => undefined);
    assert.deepEqual(await store.names(), ["work"]);
    assert.deepEqual(await readdir(join(store.file, "..")), ["credentials.json"]);
  });

  test("a file that others can read is noticed", async (t) => {
    const store = new Store(await scratch(t));
    assert.equal(await store.isExposed(), false);
    await store.update("default", () => ({ url: "https://a.example.com", key: "k" }));
    assert.equal(await store.isExposed(), false);
    await chmod(store.file, 0o644);
    assert.equal(await store.isExposed(), true);
    await store.update("default", (profile) => profile);
    assert.equal(await store.isExposed(), false);
  });

  test("a damaged file is told, not overwritten", async (t) => {
    const store = new Store(await scratch(t));
    await store.update("default", () => ({ url: "https://a.example.com", key: "k" }));
    for (const text of ["{", "[]", '{"profiles": {"default": {"url": 1}}}']) {
      await writeFile(store.file, text);
      await assert.rejects(
        store.update("x", () => ({ url: "u", key: "k" })),
        /is damaged; delete it/,
      );
      assert.equal(await readFile(store.file, "utf8"), text);
    }
  });

  test("processes that write at once lose nothing of each other", async (t) => {
    const folder = await scratch(t);
    const script = `
      import { Store } from ${JSON.stringify(join(import.meta.dirname, "store.ts"))};
      const store = new Store(${JSON.stringify(folder)});
      for (let i = 0; i < 10; i += 1) await store.update(process.argv[1] + i, () => ({ url: "u", key: "k" }));
    `;
    const children = ["a", "b", "c"].map((name) =>
      spawn(process.execPath, ["--input-type=module", "-e", script, name], { stdio: "inherit" }),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, "close"))[0]));
    assert.deepEqual(codes, [0, 0, 0]);
    assert.equal((await new Store(folder).names()).length, 30);
  });

  test("a lock that a killed process left is broken", async (t) => {
    const store = new Store(await scratch(t));
    await store.update("default", () => ({ url: "https://a.example.com", key: "k" }));
    const lock = `${store.file}.lock`;
    await writeFile(lock, "");
    const long = new Date(Date.now() - 60_000);
    await utimes(lock, long, long);
    await store.update("work", () => ({ url: "https://b.example.com", key: "l" }));
    assert.deepEqual(await store.names(), ["default", "work"]);
  });
});

test("two stacks: each folder keeps its own login, and other folders use the default profile", async (t) => {
  const folder = await scratch(t);
  const store = new Store(join(folder, "config"));
  await store.update("default", () => ({ url: "https://abc.supabase.co", key: "hosted", session }));
  const put = async (name: string, port: number) => {
    await mkdir(join(folder, name, ".launchpad"), { recursive: true });
    const write = (file: string, value: object) =>
      writeFile(join(folder, name, ".launchpad", file), JSON.stringify(value));
    await write("keys.json", { publishableKey: `sb_publishable_${name}` });
    await write("stack.json", {
      apiUrl: `http://127.0.0.1:${port}`,
      dbUrl: `postgres://127.0.0.1:${port}/postgres`,
    });
  };
  await put("a", 4000);
  await put("b", 5000);
  const here = async (name: string, flags = {}, env = {}) => {
    const found = await findHere({ flags, env, store, from: join(folder, name) });
    return [found.project.url, found.project.key, found.profile, found.passedOver];
  };
  const hosted = "https://abc.supabase.co";
  assert.deepEqual(await here("a"), ["http://127.0.0.1:4000", "sb_publishable_a", "stack-4000", hosted]);
  assert.deepEqual(await here("b"), ["http://127.0.0.1:5000", "sb_publishable_b", "stack-5000", hosted]);
  assert.deepEqual(await here("."), [hosted, "hosted", "default", undefined]);
  assert.deepEqual(await here("a", { profile: "default" }), [hosted, "hosted", "default", undefined]);
  assert.deepEqual(await here("a", {}, { LAUNCHPAD_PROFILE: "default" }), [
    hosted,
    "hosted",
    "default",
    undefined,
  ]);
  await store.update("default", () => ({ url: "http://127.0.0.1:4000", key: "old", session }));
  assert.deepEqual(await here("a"), ["http://127.0.0.1:4000", "sb_publishable_a", "default", undefined]);
});

test("a folder whose stack is stopped: the login keeps its key at the usual address", async (t) => {
  const folder = await scratch(t);
  const store = new Store(join(folder, "config"));
  await mkdir(join(folder, ".launchpad"));
  await writeFile(
    join(folder, ".launchpad", "keys.json"),
    JSON.stringify({ publishableKey: "sb_publishable_stopped" }),
  );
  const key = async () => (await findHere({ flags: {}, env: {}, store, from: folder })).project.key;
  assert.equal(await key(), "sb_publishable_stopped");
  await store.update("default", () => ({ url: LOCAL_URL, key: "sb_publishable_of_another_folder", session }));
  assert.equal(await key(), "sb_publishable_of_another_folder");
});

describe("a stack that was started at another address", () => {
  const at = (url: string, local = true): Project => ({
    url,
    key: "k",
    apiUrl: url,
    source: "profile",
    local,
  });
  const running = { url: "http://127.0.0.1:4000", key: "k", dbUrl: "postgres://127.0.0.1:4001/postgres" };
  for (const [why, project, localStack, expected] of [
    ["is found", at("http://127.0.0.1:3000"), running, running.url],
    ["is not the login's own", at(running.url), running, undefined],
    ["must run", at("http://127.0.0.1:3000"), { url: running.url, key: "k" }, undefined],
    ["is none without a folder", at("http://127.0.0.1:3000"), undefined, undefined],
    ["is not named for a project elsewhere", at("https://abc.supabase.co", false), running, undefined],
  ] as const) {
    test(why, () => assert.equal(movedTo(project, localStack), expected));
  }
});
