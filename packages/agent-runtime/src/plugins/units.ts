// Numbers and texts of Ethereum's contracts, as JSON-RPC writes them. Pure.
import { Buffer } from "node:buffer";
import { ToolError } from "../abilities/tools/request.ts";

/** The calls of ERC-20 that take nothing. */
export const DECIMALS_CALL = "0x313ce567";
export const SYMBOL_CALL = "0x95d89b41";

/** The call of ERC-20's balanceOf. */
export const balanceOfCall = (address: string): string =>
  `0x70a08231${address.slice(2).toLowerCase().padStart(64, "0")}`;

/** `0x1b` → 27n. Throws ToolError for anything but a number of at most 256 bits. */
export function asNumber(hex: string): bigint {
  if (/^0x[0-9a-f]{1,64}$/i.test(hex)) return BigInt(hex);
  throw new ToolError("The chain's node answered with something other than a number.", "TOOL_FAILED");
}

/**
 * A number of smallest units in whole ones, exactly.
 * @example inUnits(1_500_000_000_000_000_000n, 18) // "1.5"
 */
export function inUnits(value: bigint, decimals: number): string {
  const digits = String(value).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return rest === "" ? whole : `${whole}.${rest}`;
}

/** A token's symbol: a text of the ABI, or 32 bytes as some old tokens have it; undefined when absent. */
export function asSymbol(hex: string): string | undefined {
  const bytes = Buffer.from(hex.slice(2), "hex");
  const isText = bytes.length >= 64 && bytes.readUInt32BE(28) === 32;
  const length = isText ? bytes.readUInt32BE(60) : 32;
  const text = bytes.subarray(isText ? 64 : 0, (isText ? 64 : 0) + Math.min(length, 64)).toString("utf8");
  return (
    text
      .replaceAll(/\p{Cc}/gu, "")
      .trim()
      .slice(0, 32) || undefined
  );
}
