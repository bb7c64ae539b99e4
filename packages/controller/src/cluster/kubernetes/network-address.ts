// Which texts Kubernetes takes as a network.
import { isIPv4 } from "node:net";

/**
 * Whether a well-formed CIDR names a network as Kubernetes takes it in a NetworkPolicy: nothing is set behind its prefix, and
 * it is no IPv4 address within IPv6. One that is refused would keep every namespace of the installation from being made.
 */
export function isNetwork(cidr: string): boolean {
  const [address = "", length = ""] = cidr.split("/");
  const bits = bitsOf(address);
  if (bits.length === 128 && bits.startsWith("0".repeat(80) + "1".repeat(16))) return false;
  return !bits.slice(Number(length)).includes("1");
}

function bitsOf(address: string): string {
  if (isIPv4(address))
    return address
      .split(".")
      .map((part) => binary(Number(part), 8))
      .join("");
  // The URL's parser writes IPv6 in one way: lower case, no dots.
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [start, end] = canonical.split("::").map((half) => half.split(":").filter((group) => group !== ""));
  const given = [...(start ?? []), ...(end ?? [])];
  const zeros = Array<string>(8 - given.length).fill("0");
  const groups = [...(start ?? []), ...zeros, ...(end ?? [])];
  return groups.map((group) => binary(Number.parseInt(group, 16), 16)).join("");
}

function binary(value: number, length: number): string {
  return value.toString(2).padStart(length, "0");
}
