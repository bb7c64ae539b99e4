import assert from "node:assert/strict";
import { test } from "vitest";
import { refusedNames, replicaEnvironment, secretValues, withheldKeys, workLater } from "./environment.ts";

const identity = {
  agentId: "agent-a",
  replica: "agent-a-x",
  generation: 1,
  configFile: "/c",
  stateDir: "/s",
  memoryBytes: 268435456,
  project: {
    url: "http://127.0.0.1:54321",
    key: "sb_publishable_test",
    probeSecret: "a-secret",
    proxyHops: 1,
  },
  privateHosts: [],
};
const operator = {
  OPENAI_API_KEY: "operators",
  OPENAI_BASE_URL: "http://operators",
  ANTHROPIC_API_KEY: "operators",
};
const environmentOf = (own: Record<string, string>) => replicaEnvironment(identity, {}, operator, own);

test("an agent without settings of its own uses the operator's", () => {
  const { OPENAI_API_KEY, OPENAI_BASE_URL } = environmentOf({});
  assert.deepEqual([OPENAI_API_KEY, OPENAI_BASE_URL], ["operators", "http://operators"]);
});

test("an agent's own key wins", () => {
  assert.equal(environmentOf({ OPENAI_API_KEY: "own" }).OPENAI_API_KEY, "own");
});

test("no key of the operator's goes beside a variable that may decide where requests go", () => {
  for (const name of [
    "OPENAI_BASE_URL",
    "OPENAI_EMBEDDING_URL",
    "GOOGLE_GEMINI_BASE_URL",
    "https_proxy",
    "SSL_CERT_FILE",
  ]) {
    const environment = environmentOf({ [name]: "http://elsewhere" });
    assert.equal(environment[name], "http://elsewhere");
    assert.deepEqual(
      [environment.OPENAI_API_KEY, environment.ANTHROPIC_API_KEY],
      [undefined, undefined],
      name,
    );
  }
});

test("keys that an agent brings stay, and other variables withhold nothing", () => {
  const own = { OPENAI_API_KEY: "own", OPENAI_EMBEDDING_URL: "http://elsewhere" };
  assert.equal(environmentOf(own).OPENAI_API_KEY, "own");
  assert.equal(environmentOf({ DISCORD_TOKEN: "t" }).OPENAI_API_KEY, "operators");
});

test("an agent reaches the operator's private addresses only where it names none itself", () => {
  const reachable = (own: Record<string, string>) =>
    replicaEnvironment({ ...identity, privateHosts: ["ollama:11434"] }, {}, operator, own)
      .AGENT_PRIVATE_HOSTS;
  assert.equal(reachable({}), "ollama:11434,operators:80");
  assert.equal(reachable({ OPENAI_BASE_URL: "http://operators" }), "ollama:11434");
  assert.equal(
    environmentOf({ OPENAI_BASE_URL: "http://x", AGENT_PRIVATE_HOSTS: "localhost" }).AGENT_PRIVATE_HOSTS,
    "none",
  );
});

test("what is withheld, and why, can be told", () => {
  assert.deepEqual(withheldKeys(operator, { OPENAI_API_KEY: "own", HTTP_PROXY: "http://elsewhere" }), {
    names: ["ANTHROPIC_API_KEY"],
    because: ["HTTP_PROXY"],
  });
  assert.deepEqual(withheldKeys(operator, { TOKEN: "t" }), { names: [], because: [] });
  assert.deepEqual(withheldKeys({}, { HTTP_PROXY: "http://elsewhere" }), { names: [], because: [] });
});

test("the machinery's names cannot be taken", () => {
  const own = {
    AGENT_ID: "x",
    NODE_OPTIONS: "--inspect",
    NODE_V8_COVERAGE: "/x",
    LD_PRELOAD: "x",
    PORT: "1",
    TOKEN: "t",
  };
  assert.deepEqual(refusedNames(own), ["AGENT_ID", "NODE_OPTIONS", "NODE_V8_COVERAGE", "LD_PRELOAD", "PORT"]);
  const environment = environmentOf(own);
  assert.equal(environment.AGENT_ID, "agent-a");
  assert.equal(environment.TOKEN, "t");
  assert.equal(environmentOf({ AGENT_MESSAGE_KEY: "k" }).AGENT_MESSAGE_KEY, "k", "which the database sends");
});

test("an agent's variables cannot take the machinery's names", () => {
  const own = {
    TOKEN: "t",
    PATH: "/evil",
    LD_PRELOAD: "x",
    AGENT_ID: "other",
    "not a name": "x",
    NUL: "a\0b",
  };
  const identity = {
    agentId: "a",
    replica: "a-1",
    generation: 1,
    configFile: "f",
    stateDir: "d",
    memoryBytes: 1e9,
    project: {
      url: "http://127.0.0.1:54321",
      key: "sb_publishable_test",
      probeSecret: "a-secret",
      proxyHops: 1,
    },
    privateHosts: [],
  };
  const environment = replicaEnvironment(identity, { PATH: "/bin" }, { OPENAI_API_KEY: "provider" }, own);
  assert.deepEqual([environment.PATH, environment.AGENT_ID, environment.TOKEN], ["/bin", "a", "t"]);
  assert.deepEqual(refusedNames(own).sort(), ["AGENT_ID", "LD_PRELOAD", "NUL", "PATH", "not a name"]);
  assert.deepEqual(secretValues({ OPENAI_API_KEY: "k", OPENAI_BASE_URL: "u" }, { A: "b" }), ["k", "b"]);
});

test("variables that are read as a process begins do not work later; those that are not handed on do not count", () => {
  for (const name of [
    "TZ",
    "LANG",
    "LC_ALL",
    "UV_THREADPOOL_SIZE",
    "MALLOC_TRIM_THRESHOLD_",
    "SSL_CERT_FILE",
    "RES_OPTIONS",
  ])
    assert.equal(workLater({ [name]: "x" }), false, name);
  assert.equal(
    workLater({ DISCORD_API_TOKEN: "x", OPENAI_API_KEY: "x", LANGUAGE_MODEL: "x", DEBUGGER: "x" }),
    true,
  );
  assert.equal(workLater({ NODE_OPTIONS: "x", LD_PRELOAD: "x", GLIBC_TUNABLES: "x" }), true);
});
