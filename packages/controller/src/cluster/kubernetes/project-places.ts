// Where the project lies, as peers of the network policy that lets agents reach it.
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { ProjectPlace } from "./options.ts";

/** `<service>.<namespace>.svc`, with or without the cluster's domain. */
const SERVICE = /^[-a-z0-9]+\.([-a-z0-9]+)\.svc(\.|$)/;
const LOOPBACK = /^(127\.|::1$)/;

/** All addresses of a name. */
export type Resolve = (host: string) => Promise<string[]>;

/**
 * The peers that agents connect to when they ask the project; the policy leaves out those that agents reach anyway.
 * @param cidrs the operator's word, where there is one
 * @throws {Error} when the project's name does not resolve: agents could not ask it either
 */
export async function projectPlaces(
  url: string,
  cidrs: readonly string[] | undefined,
  resolve: Resolve = resolveAll,
): Promise<ProjectPlace[]> {
  if (cidrs !== undefined) return cidrs.map((cidr) => ({ ipBlock: { cidr } }));
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
  const namespace = SERVICE.exec(host)?.[1];
  if (namespace !== undefined) {
    return [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } } }];
  }
  const addresses = isIP(host) === 0 ? await resolve(host) : [host];
  // A pod's loopback is the pod itself.
  return [...new Set(addresses.filter((address) => !LOOPBACK.test(address)))]
    .sort()
    .map((address) => ({ ipBlock: { cidr: `${address}/${isIP(address) === 6 ? 128 : 32}` } }));
}

async function resolveAll(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new Error(`The project's name ${host} cannot be resolved (${code}): set LAUNCHPAD_PROJECT_CIDRS.`);
  }
}
