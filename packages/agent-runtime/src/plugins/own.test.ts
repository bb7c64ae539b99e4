// The plugins that the runtime brings, against doubles of a chain's node and a price service, and by a whole agent.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, it } from "vitest";
import { startProviderStub } from "../../../../tests/helpers/providers.ts";
import { callTool } from "../abilities/tools/index.ts";
import { startAgent } from "../testing/agent.ts";
import { TEST_KEY } from "../testing/project.ts";
import { openOwnPlugin } from "./own.ts";
import { filtered } from "./supabase.ts";
import { asSymbol, inUnits } from "./units.ts";

const ACCOUNT = `0x${"ab".repeat(20)}`;
const TOKEN = `0x${"cd".repeat(20)}`;
const RPC_KEY = "key-of-the-node-in-its-path";
const word = (value: bigint | number) => value.toString(16).padStart(64, "0");

/** What the double of a chain's node answers, by method or by a call's selector. */
let chain: Record<string, unknown>;
let coins: { status: number; body: unknown };
const asked: { url: string; headers: Record<string, unknown>; body: string }[] = [];
const outside = createServer(async (request, response) => {
  const body = await text(request);
  asked.push({ url: request.url ?? "", headers: request.headers, body });
  if (request.method === "GET") {
    response.writeHead(coins.status, { "content-type": "application/json" });
    return response.end(JSON.stringify(coins.body));
  }
  const { id, method, params } = JSON.parse(body);
  const result = chain[method === "eth_call" ? params[0].data.slice(0, 10) : method];
  const answer = typeof result === "object" ? { error: result } : { result };
  response.end(JSON.stringify({ jsonrpc: "2.0", id, ...answer }));
});
let url = "";
beforeAll(async () => {
  await once(outside.listen(0, "127.0.0.1"), "listening");
  url = `http://127.0.0.1:${(outside.address() as AddressInfo).port}`;
});
afterAll(() => {
  outside.closeAllConnections();
  outside.close();
});

const open = (name: "web3" | "supabase", environment: Record<string, string>, supabaseProject?: string) => {
  const secrets = Object.values(environment);
  const plugin = openOwnPlugin(`@elizaos/plugin-${name}`, { environment, supabaseProject, secrets });
  assert.ok(plugin);
  return plugin;
};
const call = async (
  plugin: ReturnType<typeof open>,
  name: string,
  given: object,
  privateHosts: readonly string[] = ["127.0.0.1"],
) => {
  const tool = plugin.tools.find((one) => one.name === name);
  assert.ok(tool, `${name} is not offered`);
  const limits = { privateHosts, signal: AbortSignal.timeout(5_000) };
  return callTool(tool, given, { limits, search: async () => [] });
};

describe("web3", () => {
  const settings = () => ({ WEB3_RPC_URL: `${url}/${RPC_KEY}`, COINGECKO_API_URL: `${url}/api/v3` });
  const web3 = () => open("web3", settings());

  it("tells prices with the key that is set, and which coins are not known", async () => {
    coins = { status: 200, body: { bitcoin: { eur: 91_000.5 } } };
    const plugin = open("web3", { ...settings(), COINGECKO_API_KEY: "CG-secret" });
    const { text, status } = await call(plugin, "coin_price", {
      coins: ["bitcoin", "nocoin"],
      currency: "eur",
    });
    assert.equal(status, "ok");
    assert.match(text, /"eur":91000.5.*\nNot known: nocoin$/);
    const { headers, url: path } = asked.at(-1) ?? assert.fail();
    assert.equal(headers["x-cg-demo-api-key"], "CG-secret");
    assert.match(path, /^\/api\/v3\/simple\/price\?ids=bitcoin%2Cnocoin&vs_currencies=eur/);
  });

  it("shows the model a refusal, without the key that the service repeats", async () => {
    coins = { status: 401, body: { error: "the key CG-secret is not valid" } };
    const plugin = open("web3", { ...settings(), COINGECKO_API_KEY: "CG-secret" });
    const outcome = await call(plugin, "coin_price", { coins: ["bitcoin"] });
    assert.deepEqual([outcome.status, outcome.error?.code], ["error", "TOOL_HTTP_ERROR"]);
    assert.equal(outcome.text, 'HTTP 401\n{"error":"the key [secret] is not valid"}');
  });

  it("tells a balance exactly", async () => {
    chain = { eth_getBalance: `0x${(1_234_567_890_123_456_789n).toString(16)}` };
    const { text } = await call(web3(), "chain_balance", { address: ACCOUNT });
    assert.deepEqual(JSON.parse(text), {
      address: ACCOUNT,
      balance: "1.234567890123456789",
      wei: "1234567890123456789",
    });
    assert.deepEqual(JSON.parse(asked.at(-1)?.body ?? "").params, [ACCOUNT, "latest"]);
  });

  it("tells a token's balance in its own units, with its symbol", async () => {
    const symbol = Buffer.from("USDC").toString("hex").padEnd(64, "0");
    chain = {
      "0x70a08231": `0x${word(2_500_000)}`,
      "0x313ce567": `0x${word(6)}`,
      "0x95d89b41": `0x${word(32)}${word(4)}${symbol}`,
    };
    const { text } = await call(web3(), "token_balance", { token: TOKEN, address: ACCOUNT });
    const { balance, symbol: named, smallestUnits } = JSON.parse(text);
    assert.deepEqual([balance, named, smallestUnits], ["2.5", "USDC", "2500000"]);
    const balanceOf = asked.map(({ body }) => body).find((body) => body.includes("0x70a08231"));
    assert.deepEqual(JSON.parse(balanceOf ?? "").params[0], {
      to: TOKEN,
      data: `0x70a08231${"0".repeat(24)}${"ab".repeat(20)}`,
    });
  });

  it("says that an address is no token, and what a node refuses, without the node's words", async () => {
    chain = { "0x70a08231": "0x" };
    const { text } = await call(web3(), "token_balance", { token: TOKEN, address: ACCOUNT });
    assert.match(text, /^error: There is no ERC-20 token/);
    chain = { eth_getBalance: { code: -32005, message: `${RPC_KEY} is over its limit` } };
    const refused = await call(web3(), "chain_balance", { address: ACCOUNT });
    assert.equal(refused.text, "error: The chain's node did not answer eth_getBalance (error -32005).");
    chain = { eth_getBalance: `0x${"f".repeat(65)}` };
    assert.match((await call(web3(), "chain_balance", { address: ACCOUNT })).text, /other than a number/);
  });

  it("tells the gas price", async () => {
    chain = { eth_gasPrice: "0x59682f00", eth_blockNumber: "0x10", eth_chainId: "0x1" };
    const { text } = await call(web3(), "gas_price", {});
    assert.deepEqual(JSON.parse(text), { chainId: "1", block: "16", gwei: "1.5" });
  });

  it("refuses arguments that are no address, and nodes that are not on the public Internet", async () => {
    const before = asked.length;
    const wrong = await call(web3(), "chain_balance", { address: "ada.eth" });
    assert.equal(wrong.error?.code, "TOOL_ARGUMENTS_INVALID");
    const inside = await call(web3(), "chain_balance", { address: ACCOUNT }, []);
    assert.deepEqual([inside.status, inside.error?.code], ["refused", "TOOL_NOT_ALLOWED"]);
    assert.equal(asked.length, before);
  });

  it("offers prices alone where no node is set, and says how to set one", () => {
    const { tools, advice, problem } = open("web3", {});
    assert.deepEqual([tools.map(({ name }) => name), problem], [["coin_price"], undefined]);
    assert.match(advice ?? "", /Set WEB3_RPC_URL/);
    assert.match(open("web3", { WEB3_RPC_URL: "ftp://x" }).problem ?? "", /WEB3_RPC_URL/);
  });
});

describe("supabase", () => {
  it("names the setting that is missing, and refuses keys above row level security", () => {
    const jwt = (role: string) => `e30.${Buffer.from(JSON.stringify({ role })).toString("base64url")}.x`;
    const table: [Record<string, string>, RegExp | undefined][] = [
      [{}, /Set SUPABASE_ANON_KEY/],
      [{ SUPABASE_ANON_KEY: jwt("anon") }, undefined],
      [{ SUPABASE_PUBLISHABLE_KEY: "sb_publishable_x" }, undefined],
      [{ SUPABASE_ANON_KEY: "sb_secret_x" }, /SUPABASE_ANON_KEY is above/],
      [{ SUPABASE_ANON_KEY: jwt("service_role") }, /SUPABASE_ANON_KEY is above/],
      [
        { SUPABASE_ANON_KEY: "a", SUPABASE_ACCESS_TOKEN: jwt("service_role") },
        /SUPABASE_ACCESS_TOKEN is above/,
      ],
      [{ SUPABASE_ANON_KEY: "a", SUPABASE_URL: "nowhere" }, /SUPABASE_URL is not/],
    ];
    for (const [environment, problem] of table) {
      const opened = open("supabase", environment, "ada-project");
      if (problem === undefined) assert.equal(opened.problem, undefined);
      else assert.match(opened.problem ?? "", problem);
      assert.equal(opened.tools.length, problem === undefined ? 3 : 0);
    }
    assert.match(open("supabase", { SUPABASE_ANON_KEY: "a" }).problem ?? "", /project_ref, or SUPABASE_URL/);
  });

  it("writes filters that nothing in a value can leave", () => {
    const query = filtered([
      { column: "name", operator: "eq", values: ["a&limit=1,or=(b)"] },
      { column: "kind", operator: "in", values: ['x"),y', "z\\"] },
      { column: "gone", operator: "is_null" },
    ]);
    assert.deepEqual(
      [...query],
      [
        ["name", "eq.a&limit=1,or=(b)"],
        ["kind", 'in.("x\\"),y","z\\\\")'],
        ["gone", "is.null"],
      ],
    );
    assert.throws(() => filtered([{ column: "order", operator: "eq", values: ["a"] }]), /cannot be filtered/);
    assert.throws(() => filtered([{ column: "a", operator: "eq", values: [] }]), /exactly one/);
  });
});

it("numbers and symbols of contracts", () => {
  assert.deepEqual(
    [inUnits(0n, 18), inUnits(1n, 18), inUnits(100n, 0), inUnits(5_000n, 3)],
    ["0", "0.000000000000000001", "100", "5"],
  );
  assert.equal(asSymbol(`0x${Buffer.from("MKR").toString("hex").padEnd(64, "0")}`), "MKR");
  assert.equal(asSymbol("0x"), undefined);
});

it("an agent with both is ready, has their tools, traces their calls, and says what is not set", async () => {
  chain = { eth_getBalance: "0xde0b6b3a7640000" };
  await using stub = await startProviderStub(({ body }) => {
    const last = (body.messages as { role: string; content: string }[]).at(-1);
    return last?.role === "tool"
      ? { pieces: [`It says ${last.content}`] }
      : { pieces: [], toolCalls: [{ name: "chain_balance", arguments: { address: ACCOUNT } }] };
  });
  await using agent = await startAgent({
    config: { plugins: ["@elizaos/plugin-web3", "@elizaos/plugin-supabase"], supabaseProject: "ada-project" },
    environment: {
      ...stub.environment,
      WEB3_RPC_URL: `${url}/${RPC_KEY}`,
      AGENT_TOOL_PRIVATE_HOSTS: "127.0.0.1",
    },
  });
  const { status, body } = await agent.say(
    { text: "What has it?" },
    {
      headers: {
        "content-type": "application/json",
        accept: "text/event-stream",
        authorization: `Bearer ${TEST_KEY}`,
      },
    },
  );
  assert.equal(status, 200, JSON.stringify(body));
  const result = (stub.requests[1]?.body.messages as { content: string }[] | undefined)?.at(-1)?.content;
  assert.match(result ?? "", /<tool-result-\w+ tool="chain_balance">\n.*"balance":"1"/);
  const tools = stub.requests[0]?.body.tools as { function: { name: string } }[];
  const names = tools.map((tool) => tool.function.name);
  assert.deepEqual(names, ["coin_price", "chain_balance", "token_balance", "gas_price"]);
  assert.match(JSON.stringify(stub.requests[0]?.body.messages), /Text between <message-/);
  const { body: health } = await agent.get("/health");
  assert.deepEqual(health.plugins, ["@elizaos/plugin-web3", "@elizaos/plugin-supabase"]);
  const told = agent.lines.find(({ message }) => message.includes("plugin-supabase: Set SUPABASE_ANON_KEY"));
  assert.equal(told?.level, "WARN");
  assert.ok(!JSON.stringify(agent.lines).includes(RPC_KEY));
  const reports = agent.project.calls.filter(({ rpc }) => rpc === "report_plugins");
  const states = reports.at(-1)?.args.plugins as { name: string; ready: boolean }[];
  assert.deepEqual(
    states.map(({ name, ready }) => [name, ready]),
    [
      ["@elizaos/plugin-web3", true],
      ["@elizaos/plugin-supabase", false],
    ],
  );
});
