/**
 * Which addresses are public: the only ones that a tool, or an agent on processes, may reach where a user chose the host.
 * What is not surely public is refused. The function `respond` and the agent runtime share this file.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

/** A host that must not be reached, with a sentence that says why. */
export class AddressError extends Error {}

/** A host whose name has no address: misspelt, or this machine cannot resolve names now. No rule forbids it. */
export class UnknownHostError extends AddressError {}

export interface AddressRule {
  /** Hosts, or host:port, whose addresses need not be public: the operator's exceptions. */
  readonly privateHosts: readonly string[];
  /** Stands in for the resolver in tests. */
  resolve?(host: string): Promise<string[]>;
}

/**
 * The addresses of a host, all of them public (or the host an exception). Connect to one of them and not to the name: the
 * name may mean another address a moment later.
 * @param host a name or an address, brackets allowed
 * @throws AddressError
 */
export async function allowedAddresses(
  host: string,
  port: number,
  { privateHosts, resolve = resolveHost }: AddressRule,
): Promise<string[]> {
  if (port !== 80 && port !== 443 && port < 1024) throw new AddressError(`Port ${port} is not one for HTTP.`);
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  const addresses = isIP(name) ? [name] : await resolve(name).catch(() => []);
  if (addresses.length === 0) throw new UnknownHostError("The host name was not found.");
  const excepted = privateHosts.includes(name) || privateHosts.includes(`${name}:${port}`);
  if (!excepted && !addresses.every(isPublicAddress))
    throw new AddressError("The host is not on the public Internet.");
  return addresses;
}

/** A list such as `ollama.local:11434, 10.0.0.7, [fd00::7]:8000` as a rule holds it. */
export function parseHosts(list: string | undefined): string[] {
  return (list ?? "")
    .split(",")
    .map((host) =>
      host
        .trim()
        .toLowerCase()
        .replace(/^\[([^\]]*)\]/, "$1"),
    )
    .filter((host) => host !== "");
}

async function resolveHost(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** Networks of IPv4 that are not the public Internet (RFC 6890 and its successors), as [address, prefix length]. */
const RESERVED_V4: readonly [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
];

const numberOf = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);

function isPublicV4(address: string): boolean {
  const value = numberOf(address);
  return !RESERVED_V4.some(([network, bits]) => {
    const size = 2 ** (32 - bits);
    return Math.floor(value / size) === Math.floor(numberOf(network) / size);
  });
}

/** The eight groups of an IPv6 address; undefined when it is none. */
function groupsOf(address: string): number[] | undefined {
  const plain = address.split("%")[0] ?? "";
  const v4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(plain);
  const low = v4 ? numberOf(v4[2] ?? "") : 0;
  const text = v4 ? `${v4[1]}${Math.floor(low / 65536).toString(16)}:${(low % 65536).toString(16)}` : plain;
  const [head = "", tail] = text.split("::");
  const read = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const first = read(head);
  if (tail === undefined) return first.length === 8 ? first : undefined;
  const last = read(tail);
  const gap = 8 - first.length - last.length;
  return gap < 0 ? undefined : [...first, ...Array<number>(gap).fill(0), ...last];
}

/** Of IPv6 only global unicast (2000::/3) counts, without the ranges in it that lead elsewhere. */
function isPublicV6(address: string): boolean {
  const groups = groupsOf(address);
  if (!groups || groups.some((group) => !(group >= 0 && group <= 0xffff))) return false;
  const [first = 0, second = 0] = groups;
  if (first < 0x2000 || first > 0x3fff) return false; // ::1, mapped, NAT64, fc00::/7, fe80::/10, ff00::/8 …
  if (first === 0x2001 && (second < 0x0200 || second === 0x0db8)) return false; // special purpose, Teredo, documentation
  return first !== 0x2002 && first !== 0x3ffe && !(first === 0x3fff && second < 0x1000); // 6to4, 6bone, documentation
}

/** Whether an address in text form is on the public Internet. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return isPublicV4(address);
    case 6:
      return isPublicV6(address);
    default:
      return false;
  }
}
