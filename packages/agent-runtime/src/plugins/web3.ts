// @elizaos/plugin-web3: prices of coins (CoinGecko's API), and balances and the gas price of a chain (Ethereum's JSON-RPC). Reads only.
import { Buffer } from "node:buffer";
import { describeResponse } from "../abilities/tools/exchange.ts";
import type { ToolContext } from "../abilities/tools/index.ts";
import { ToolError } from "../abilities/tools/request.ts";
import { asAddress } from "./address.ts";
import type { OwnPlugin, OwnSettings, OwnTool } from "./own.ts";
import { below, describeTool, sendTo } from "./own-tool.ts";
import { asNumber, asSymbol, balanceOfCall, DECIMALS_CALL, inUnits, SYMBOL_CALL } from "./units.ts";

const ADDRESS = { type: "string", pattern: "^0x[0-9a-fA-F]{40}$" } as const;
const COINS_API = "https://api.coingecko.com/api/v3";

/** Opens the plugin: prices need no setting, the chain needs the address of a node. */
export function openWeb3({ environment }: OwnSettings): OwnPlugin {
  const coins = asAddress(environment.COINGECKO_API_URL ?? COINS_API);
  if (coins === undefined) return { tools: [], problem: "COINGECKO_API_URL is not an http(s) address" };
  const prices = priceTool(coins, environment.COINGECKO_API_KEY);
  if (environment.WEB3_RPC_URL === undefined) {
    return {
      tools: [prices],
      advice: "Set WEB3_RPC_URL in the agent's environment for balances and gas prices",
    };
  }
  const node = asAddress(environment.WEB3_RPC_URL);
  if (node === undefined) return { tools: [], problem: "WEB3_RPC_URL is not an http(s) address" };
  return { tools: [prices, ...chainTools(node)] };
}

function priceTool(api: URL, key: string | undefined): OwnTool {
  const keyHeader = api.hostname.startsWith("pro-api.") ? "x-cg-pro-api-key" : "x-cg-demo-api-key";
  return {
    ...describe(
      "coin_price",
      "Tells prices of coins, with the change of the last 24 hours in percent.",
      ["coins"],
      {
        coins: {
          type: "array",
          items: { type: "string", pattern: "^[a-z0-9._-]{1,80}$" },
          minItems: 1,
          maxItems: 20,
          description: "CoinGecko's ids, such as bitcoin or ethereum",
        },
        currency: {
          type: "string",
          pattern: "^[a-z]{2,10}$",
          description: "Such as usd or eur. Left out: usd.",
        },
      },
    ),
    async run(given, context) {
      const ids = given.coins as readonly string[];
      const url = below(api, "/simple/price");
      url.searchParams.set("ids", ids.join(","));
      url.searchParams.set("vs_currencies", String(given.currency ?? "usd"));
      url.searchParams.set("include_24hr_change", "true");
      url.searchParams.set("include_last_updated_at", "true");
      const headers = key === undefined ? {} : { [keyHeader]: key };
      const response = await sendTo(url, { method: "GET", headers }, context);
      const { status, body } = response;
      if (status >= 300) return { text: describeResponse(response), status };
      const found = asObject(body, "The price service");
      const unknown = ids.filter((id) => !Object.hasOwn(found, id));
      const text = unknown.length === 0 ? body : `${body}\nNot known: ${unknown.join(", ")}`;
      return { text, status };
    },
  };
}

function chainTools(node: URL): OwnTool[] {
  const ask = async (method: string, params: readonly unknown[], context: ToolContext): Promise<string> => {
    const request = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })),
    };
    const { status, body } = await sendTo(node, request, context);
    if (status >= 300) throw new ToolError(`The chain's node answered HTTP ${status}.`, "TOOL_FAILED");
    const { result, error } = asObject(body, "The chain's node");
    if (typeof result === "string" && /^0x[0-9a-f]*$/i.test(result)) return result;
    const { code } = (error ?? {}) as { code?: unknown };
    // Its words may repeat the address, which may hold a key.
    const why = typeof code === "number" ? ` (error ${code})` : "";
    throw new ToolError(`The chain's node did not answer ${method}${why}.`, "TOOL_FAILED");
  };
  const call = (to: string, data: string, context: ToolContext) =>
    ask("eth_call", [{ to, data }, "latest"], context);
  const json = (value: object) => ({ text: JSON.stringify(value) });

  return [
    {
      ...describe("chain_balance", "Tells the balance of an account in the chain's own coin.", ["address"], {
        address: ADDRESS,
      }),
      async run({ address }, context) {
        const wei = asNumber(await ask("eth_getBalance", [address, "latest"], context));
        return json({ address, balance: inUnits(wei, 18), wei: String(wei) });
      },
    },
    {
      ...describe(
        "token_balance",
        "Tells how much of an ERC-20 token an account has.",
        ["token", "address"],
        {
          token: { ...ADDRESS, description: "The address of the token's contract" },
          address: ADDRESS,
        },
      ),
      async run({ token, address }, context) {
        const contract = String(token);
        const held = await call(contract, balanceOfCall(String(address)), context);
        if (held.length < 66) throw new ToolError("There is no ERC-20 token at this address.", "TOOL_FAILED");
        const [decimals, symbol] = await Promise.all([
          call(contract, DECIMALS_CALL, context).catch(() => "0x"),
          call(contract, SYMBOL_CALL, context).catch(() => "0x"),
        ]);
        const raw = asNumber(held.slice(0, 66));
        const places = decimals.length === 66 ? asNumber(decimals) : undefined;
        const isKnown = places !== undefined && places <= 255n;
        return json({
          address,
          token,
          symbol: asSymbol(symbol),
          ...(isKnown && { balance: inUnits(raw, Number(places)) }),
          smallestUnits: String(raw),
        });
      },
    },
    {
      ...describe("gas_price", "Tells the chain's gas price and its latest block.", [], {}),
      async run(_, context) {
        const [price, block, chain] = await Promise.all([
          ask("eth_gasPrice", [], context),
          ask("eth_blockNumber", [], context),
          ask("eth_chainId", [], context),
        ]);
        return json({
          chainId: String(asNumber(chain)),
          block: String(asNumber(block)),
          gwei: inUnits(asNumber(price), 9),
        });
      },
    },
  ];
}

/** These tools only read. */
const describe = (
  name: string,
  description: string,
  required: readonly string[],
  properties: Readonly<Record<string, unknown>>,
) => describeTool(name, "GET", description, required, properties);

function asObject(text: string, who: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // reported below
  }
  throw new ToolError(`${who} answered without JSON.`, "TOOL_FAILED");
}
