// The network policies of a user's namespace: who reaches agents, and where agents connect to.
import { BlockList, isIPv6 } from "node:net";
import type {
  V1IPBlock,
  V1NetworkPolicy,
  V1NetworkPolicyEgressRule,
  V1NetworkPolicyPeer,
  V1NetworkPolicySpec,
} from "@kubernetes/client-node";
import { projectPort } from "../../../config.ts";
import type { KubeObject } from "../api.ts";
import { PORT_NAME } from "../names.ts";
import type {
  DnsOptions,
  EgressOptions,
  ManifestOptions,
  PrivatePlace,
  ProjectOptions,
  ProjectPlace,
} from "../options.ts";
import { pluginPolicy } from "./plugin-set.ts";
import { optional, type Wire } from "./wire.ts";

/** Nothing in and nothing out, but for what agents need. */
export function networkPolicies(
  meta: (name: string) => KubeObject["metadata"],
  options: ManifestOptions,
): KubeObject[] {
  const policy = (name: string, spec: Wire<Omit<V1NetworkPolicySpec, "podSelector">>): KubeObject =>
    ({
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: meta(name),
      spec: { podSelector: {}, ...spec },
    }) satisfies Wire<V1NetworkPolicy>;
  const places = closedPlaces(options);
  return [
    policy("default-deny", { policyTypes: ["Ingress", "Egress"] }),
    policy("allow-dns", { policyTypes: ["Egress"], egress: [dnsRule(options.dns ?? USUAL_DNS)] }),
    policy("allow-egress", {
      policyTypes: ["Egress"],
      egress: [
        egressRule(options.egress),
        ...(places.length === 0 ? [] : [projectRule({ ...options.project, places })]),
        ...privateRules(options),
      ],
    }),
    policy("allow-ingress", {
      policyTypes: ["Ingress"],
      ingress: [
        {
          from: [
            inNamespaces([...new Set([options.ingressNamespace, options.controllerNamespace])].sort()),
            ...options.ingressCidrs.map((cidr) => ({ ipBlock: { cidr } })),
          ],
          ports: [{ protocol: "TCP", port: PORT_NAME }],
        },
      ],
    }),
    ...pluginPolicy(meta, options),
  ];
}

/** CoreDNS where most clusters have it, and the node-local cache where there is one. */
const USUAL_DNS: DnsOptions = {
  namespaces: ["kube-system"],
  podLabels: {},
  ports: [53],
  cidrs: ["169.254.20.10/32"],
};

function dnsRule({ cidrs, namespaces, podLabels, ports }: DnsOptions): Wire<V1NetworkPolicyEgressRule> {
  const labelled = Object.keys(podLabels).length > 0;
  return {
    to: [
      {
        ...inNamespaces(namespaces),
        ...optional<V1NetworkPolicyPeer>(labelled && { podSelector: { matchLabels: podLabels } }),
      },
      ...cidrs.map((cidr) => ({ ipBlock: { cidr } })),
    ],
    ports: ports.flatMap((port) => [
      { protocol: "UDP", port },
      { protocol: "TCP", port },
    ]),
  };
}

/** Where the project lies that agents do not reach anyway. */
function closedPlaces({ egress, project: { places, url } }: ManifestOptions): readonly ProjectPlace[] {
  return places.filter((place) => {
    if (!("ipBlock" in place)) return true;
    const [address = "", bits] = place.ipBlock.cidr.split("/");
    const single = bits === (isIPv6(address) ? "128" : "32");
    return !(single && isOpen(egress, address, projectPort(url)));
  });
}

/** A Service of the cluster is judged by its pods' ports, which its address does not name; any other address by its own. */
function projectRule({ url, places }: ProjectOptions): Wire<V1NetworkPolicyEgressRule> {
  const inside = places.some((place) => "namespaceSelector" in place);
  return {
    to: places,
    ...optional<V1NetworkPolicyEgressRule>(
      !inside && { ports: [{ protocol: "TCP", port: projectPort(url) }] },
    ),
  };
}

/** The ports on which the runtime's guard lets tools speak HTTP. */
const HTTP_PORTS = [
  { protocol: "TCP", port: 80 },
  { protocol: "TCP", port: 443 },
  { protocol: "TCP", port: 1024, endPort: 65535 },
];

/** One rule for each port, without what is open anyway. A Service is open by its pods' ports, whatever its own is. */
function privateRules({ egress, privatePlaces = [] }: ManifestOptions): Wire<V1NetworkPolicyEgressRule>[] {
  const portsOf = ({ to, port }: PrivatePlace) =>
    "namespaceSelector" in to ? undefined : port === undefined ? HTTP_PORTS : [{ protocol: "TCP", port }];
  const closed = privatePlaces.filter(
    ({ to, port }) =>
      !("ipBlock" in to && port !== undefined && isOpen(egress, to.ipBlock.cidr.split("/")[0] ?? "", port)),
  );
  const byPorts = Map.groupBy(closed, (place) => JSON.stringify(portsOf(place) ?? null));
  return [...byPorts.values()].map((places) => {
    const ports = places[0] && portsOf(places[0]);
    const to = [...new Map(places.map((place) => [JSON.stringify(place.to), place.to])).values()];
    return { to, ...optional<V1NetworkPolicyEgressRule>(ports !== undefined && { ports }) };
  });
}

function inNamespaces(names: readonly string[]): Wire<V1NetworkPolicyPeer> {
  return {
    namespaceSelector: {
      matchExpressions: [{ key: "kubernetes.io/metadata.name", operator: "In", values: names }],
    },
  };
}

/** Networks of the cluster and the machine room. */
const PRIVATE = [
  "10.0.0.0/8",
  "100.64.0.0/10",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "fc00::/7",
];

/**
 * What is no host of the internet or of anybody's network (IANA's special-purpose registries): the machine itself, its links
 * with the cloud's metadata service on them, networks of documentation, groups, and addresses that hold an IPv4 address, which
 * would lead around its rule.
 */
const SPECIAL = [
  "0.0.0.0/8",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "::/128",
  "::1/128",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
  "5f00::/16",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
];

/** Metadata services of clouds outside the networks above, or inside those that an operator may open. */
const METADATA = ["100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128"];

/** Whether an address is no host of a network that an operator could open. */
export const isMetadataOrSpecial = (address: string): boolean =>
  [...SPECIAL, ...METADATA].some((network) => holds(network, address));

/** By its options, which a controller has once: it asks for every agent that it looks at. */
const known = new WeakMap<EgressOptions, ReturnType<typeof openingsOf>>();

function openings(egress: EgressOptions) {
  const found = known.get(egress) ?? openingsOf(egress);
  known.set(egress, found);
  return found;
}

function openingsOf({ allowCidrs, allowPrivate, exceptCidrs, ports }: EgressOptions) {
  const cidrs = allowCidrs.length === 0 ? ["0.0.0.0/0", "::/0"] : allowCidrs;
  const excepted = [...new Set([...SPECIAL, ...(allowPrivate ? [] : PRIVATE), ...METADATA, ...exceptCidrs])];
  return {
    networks: cidrs.map((cidr) => {
      // What lies in such a network was named on purpose; a wider network does not mean those in it.
      const within = excepted.filter((one) => one !== cidr && contains(cidr, one));
      const except = within.filter((one) => !within.some((wider) => wider !== one && contains(wider, one)));
      return { cidr, ...optional<Pick<V1IPBlock, "except">>(except.length > 0 && { except }) };
    }),
    ports: ports.length === 0 ? [443] : ports,
  };
}

function egressRule(egress: EgressOptions): Wire<V1NetworkPolicyEgressRule> {
  const { networks, ports } = openings(egress);
  return {
    to: networks.map((ipBlock) => ({ ipBlock })),
    ports: ports.map((port) => ({ protocol: "TCP", port })),
  };
}

/** Whether the rule for the internet lets agents connect there. */
export function isOpen(egress: EgressOptions, address: string, port: number): boolean {
  const { networks, ports } = openings(egress);
  const open = networks.some(
    ({ cidr, except = [] }) => holds(cidr, address) && !except.some((one) => holds(one, address)),
  );
  return open && ports.includes(port);
}

function contains(outer: string, inner: string): boolean {
  const [, bits = ""] = outer.split("/");
  const [address = "", innerBits = ""] = inner.split("/");
  return Number(innerBits) > Number(bits) && holds(outer, address);
}

function holds(network: string, address: string): boolean {
  const [start = "", bits = ""] = network.split("/");
  if (isIPv6(start) !== isIPv6(address)) return false;
  const family = isIPv6(start) ? "ipv6" : "ipv4";
  const block = new BlockList();
  block.addSubnet(start, Number(bits), family);
  return block.check(address, family);
}
