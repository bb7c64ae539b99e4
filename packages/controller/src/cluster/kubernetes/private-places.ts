// Where the hosts lie that the operator lets agents and their tools reach though their addresses are not public, as rules of the
// network policy: the same list that the runtime's own guard reads.
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Log } from "../../log.ts";
import { isMetadataOrSpecial } from "./manifests/network.ts";
import type { PrivatePlace } from "./options.ts";
import type { Resolve } from "./project-places.ts";

/** `<service>.<namespace>.svc`, with or without the cluster's domain. */
const SERVICE = /^[-a-z0-9]+\.([-a-z0-9]+)\.svc(\.|$)/;

/**
 * The places of hosts, or host:port.
 * A Service of the cluster is its namespace, on any port: policies judge pods' ports, which a Service's address does not name.
 * A name is what it means now; one that means nothing is warned of, and left out until the controller starts again. Links, the
 * machine itself and clouds' metadata services are left out always.
 */
export async function privatePlaces(
  hosts: readonly string[],
  log: Log,
  resolve: Resolve = resolveAll,
): Promise<PrivatePlace[]> {
  const places = await Promise.all(hosts.map((host) => placesOf(host, log, resolve)));
  return places.flat();
}

async function placesOf(entry: string, log: Log, resolve: Resolve): Promise<PrivatePlace[]> {
  const { host, port } = split(entry.toLowerCase());
  const namespace = SERVICE.exec(host)?.[1];
  if (namespace !== undefined) {
    return [{ to: { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } } }];
  }
  const addresses = isIP(host) === 0 ? await resolve(host).catch(() => []) : [host];
  if (addresses.length === 0) {
    log.warn("a private host does not resolve: agents cannot reach it until the controller starts again", {
      host: entry,
    });
  }
  return [...new Set(addresses)].sort().flatMap((address) => {
    if (isMetadataOrSpecial(address)) {
      log.warn("a private host is a metadata or reserved address: agents cannot reach it", {
        host: entry,
        address,
      });
      return [];
    }
    const cidr = `${address}/${isIP(address) === 6 ? 128 : 32}`;
    return [{ to: { ipBlock: { cidr } }, ...(port !== undefined && { port }) }];
  });
}

/** `host`, `host:port`, an address, or `[address]:port`. */
function split(entry: string): { host: string; port: number | undefined } {
  const whole = entry.replace(/^\[([^\]]*)\]$/, "$1");
  if (isIP(whole) !== 0) return { host: whole, port: undefined };
  const [, host = entry, port] = /^(.*?):(\d+)$/.exec(entry) ?? [];
  return { host: host.replace(/^\[|\]$/g, ""), port: port === undefined ? undefined : Number(port) };
}

const resolveAll: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address);
