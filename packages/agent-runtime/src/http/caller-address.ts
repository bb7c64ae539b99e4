// From which address a request comes, as the operator's own proxies saw it.
import { isIPv4, isIPv6 } from "node:net";

/**
 * The caller's address. Each proxy appends whom it saw to `X-Forwarded-For`; of the list only the last `hops` entries were
 * written by the operator's proxies, so what a caller claims stands before them and is not looked at.
 * @param forwarded the header, or undefined
 * @param peer who opened the connection
 * @param hops proxies of the operator's in front of this process
 */
export function callerAddress(forwarded: string | undefined, peer: string | undefined, hops: number): string {
  const seen = (forwarded ?? "").split(",").map((part) => part.trim());
  const listed = seen.filter((part) => part !== "");
  const address = hops === 0 || listed.length === 0 ? peer : (listed.at(-hops) ?? listed[0]);
  return networkOf(address ?? "unknown");
}

/** IPv6 users have a network of their own and may take any address of it: they count by it. */
function networkOf(address: string): string {
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/^\[|\]$/g, "");
  if (isIPv4(bare) || !isIPv6(bare)) return bare.slice(0, 100);
  const [head = "", tail] = bare.toLowerCase().split("::");
  const left = head.split(":").filter((group) => group !== "");
  const right = (tail ?? "").split(":").filter((group) => group !== "");
  const groups = [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0"), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}
