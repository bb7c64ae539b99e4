// The shell's completion of an agent: the caller's own, at once, and in silence where they cannot be had.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { forgedToken } from "../helpers/agents.ts";
import { openTerminal, type RunOptions, type Terminal } from "../helpers/cli.ts";
import { eventually } from "../helpers/processes.ts";
import { startTestStack, type TestStack, type TestUser } from "../helpers/stack.ts";

let stack: TestStack;
let owner: TestUser;
let mine: Terminal;
let theirs: Terminal;
let nobodys: Terminal;
/** The owner's agents, by name; `gone` is deleted. */
const ids: Record<string, string> = {};

beforeAll(async () => {
  stack = await startTestStack();
  await stack.raiseRateLimits();
  const [first, second] = await Promise.all([stack.createUser(), stack.createUser()]);
  owner = first;
  for (const name of ["tab-one", "tab-two", "tab two words", "gone"]) {
    const { data, error } = await owner.client.from("agents").insert({ name }).select("id").single();
    assert.equal(error, null);
    ids[name] = data?.id;
  }
  await owner.client.from("agents").delete().eq("id", ids.gone);
  [mine, theirs, nobodys] = await Promise.all([
    openTerminal(stack.info),
    openTerminal(stack.info),
    openTerminal(stack.info),
  ]);
  await Promise.all([mine.login(owner), theirs.login(second)]);
});
afterAll(async () => {
  await Promise.all([mine, theirs, nobodys].map((terminal) => terminal?.remove()));
  await stack.stop();
});

/** What a terminal is offered after `launchpad …`: word → description. It never fails and never speaks to people. */
async function offered(terminal: Terminal, words: string[], options?: RunOptions) {
  const { code, stdout, stderr } = await terminal.run(["__complete", ...words], options);
  assert.deepEqual([code, stderr], [0, ""]);
  return new Map(
    stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split("\t") as [string, string]),
  );
}

/** The same where something should be offered: a machine that is busy may need longer than the second that it waits. */
const found = (...asked: Parameters<typeof offered>) =>
  eventually(`something for ${asked[1]}`, async () => {
    const words = await offered(...asked);
    return words.size > 0 ? words : undefined;
  });

test("the caller's agents are offered by id, each with its name; not those that are deleted", async () => {
  const all = await found(mine, ["status", ""]);
  assert.deepEqual([...all.keys()].sort(), [ids["tab-one"], ids["tab-two"], ids["tab two words"]].sort());
  assert.match(all.get(ids["tab two words"] as string) ?? "", /^tab two words \(\w+\)$/);
  const [id = ""] = all.keys();
  assert.deepEqual([...(await found(mine, ["agents", "logs", "-f", id.slice(0, -1)])).keys()], [id]);
});

test("a name is completed too, where it needs no quotes", async () => {
  assert.deepEqual([...(await found(mine, ["secrets", "set", "tab"])).keys()], ["tab-two", "tab-one"]);
  assert.deepEqual([...(await found(mine, ["chat", "tab-o"])).keys()], ["tab-one"]);
  // Neither is a pattern.
  for (const typed of ["tab_", "%", "*", "ta*", 'x",name.like."t', "tab-one,"])
    assert.equal((await offered(mine, ["status", typed])).size, 0, typed);
});

test("another user is not offered them, nor is a forged or expired token, nor somebody who is not signed in", async () => {
  for (const words of [
    ["status", ""],
    ["status", "tab"],
    ["status", (ids["tab-one"] as string).slice(0, 8)],
  ]) {
    assert.equal((await offered(theirs, words)).size, 0);
    assert.equal((await offered(nobodys, words)).size, 0);
    const env = { LAUNCHPAD_TOKEN: forgedToken(owner) };
    assert.equal((await offered(nobodys, words, { env })).size, 0);
  }
  const env = { LAUNCHPAD_TOKEN: owner.token };
  assert.equal((await found(nobodys, ["status", ""], { env })).size, 3, "a good token is");
  assert.equal((await offered(nobodys, ["status", ""], { env: { LAUNCHPAD_TOKEN: "nonsense" } })).size, 0);

  const text = await readFile(mine.credentials, "utf8");
  const logins = JSON.parse(text);
  logins.profiles.default.session.expires_at = 1;
  await writeFile(mine.credentials, JSON.stringify(logins));
  assert.equal((await offered(mine, ["status", ""])).size, 0);
  assert.deepEqual(
    JSON.parse(await readFile(mine.credentials, "utf8")),
    logins,
    "the login is left as it is",
  );
  await writeFile(mine.credentials, "{");
  assert.equal((await offered(mine, ["status", ""])).size, 0);
  await writeFile(mine.credentials, text);
  await chmod(mine.credentials, 0o644);
  assert.equal((await found(mine, ["status", ""])).size, 3, "without the warning of a command");
  await chmod(mine.credentials, 0o600);
});

test("the options before say which project", async () => {
  const env = { LAUNCHPAD_URL: "http://127.0.0.1:1" };
  assert.equal((await offered(mine, ["status", ""], { env })).size, 0);
  const url = `--url=${stack.info.apiUrl}`;
  assert.equal((await found(mine, [url, "status", ""], { env })).size, 3);
  assert.equal((await offered(mine, ["--profile", "other", "status", ""])).size, 0);
});

test("offline, or where something else answers, there is nothing", async () => {
  const answers: Record<string, [status: number, body: string]> = {
    "/html/rest/v1/agents": [200, "<html>hello</html>"],
    "/broken/rest/v1/agents": [500, '{"message":"no"}'],
    "/object/rest/v1/agents": [200, '{"id":1}'],
  };
  let asked = 0;
  const server = createServer((request, response) => {
    const [status, body] = answers[(request.url ?? "").split("?", 1)[0] ?? ""] ?? [];
    asked += 1;
    if (status !== undefined) response.writeHead(status).end(body); // else it never answers
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { LAUNCHPAD_TOKEN: owner.token };
  try {
    for (const url of [
      ...["html", "broken", "object"].map((path) => `${origin}/${path}`),
      "http://127.0.0.1:1",
    ])
      assert.equal((await offered(mine, ["--url", url, "status", ""], { env })).size, 0, url);
    assert.equal(asked, 3);
    const begun = performance.now();
    assert.equal((await offered(mine, ["--url", `${origin}/never`, "status", ""], { env })).size, 0);
    const took = performance.now() - begun;
    assert.ok(took > 900 && took < 30_000, `it waits a second, not ${took} ms`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("bash completes with it", async () => {
  const script = `
    launchpad() { "${process.execPath}" "${join(import.meta.dirname, "../../packages/cli/bin/launchpad.js")}" "$@"; }
    eval "$(launchpad completion bash)"
    COMP_WORDS=(launchpad restart tab-t); COMP_CWORD=2
    for again in {1..30}; do _launchpad; [ "\${#COMPREPLY[@]}" -gt 0 ] && break; done # it waits a second, and the machine may be busy
    echo "\${COMPREPLY[@]}"
  `;
  const bash = spawn("bash", ["-c", script], {
    cwd: mine.folder,
    env: {
      PATH: process.env.PATH,
      XDG_CONFIG_HOME: join(mine.folder, "config"),
      LAUNCHPAD_URL: stack.info.apiUrl,
      LAUNCHPAD_KEY: stack.info.publishableKey,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  bash.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  await once(bash, "close");
  assert.equal(said, "tab-two\n");
});
