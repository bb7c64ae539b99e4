// Definitions of kinds that other projects bring to a cluster, as they released them: read from Go's module cache, where
// tests/cluster/definitions/go.sum proves what they are (7 MB, once), and never copied into this repository.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import type { Manifest } from "./chart.ts";
import { applyManifest } from "./chart-install.ts";
import type { KubeClient } from "./kube.ts";
import { eventually } from "./processes.ts";

const MODULE = join(import.meta.dirname, "../cluster/definitions");
const run = promisify(execFile);

/** Files of a project's module. */
export const DEFINITIONS = {
  /** What stands in front of agents; the standard channel, with its admission policy. */
  gateway: {
    module: "sigs.k8s.io/gateway-api",
    files: ["gatewayclasses", "gateways", "httproutes", "vap_safeupgrades"].map(
      (name) => `config/crd/standard/gateway.networking.k8s.io_${name}.yaml`,
    ),
  },
  /** What the chart's monitoring is made of. */
  monitoring: {
    module: "github.com/prometheus-operator/prometheus-operator",
    files: ["servicemonitors", "podmonitors", "prometheusrules"].map(
      (name) => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
    ),
  },
} as const;

/**
 * The objects that define a project's kinds.
 * @throws {Error} when Go cannot get the module, or it is not the one that go.sum names
 */
export async function definitionsOf(what: keyof typeof DEFINITIONS): Promise<Manifest[]> {
  const { module, files } = DEFINITIONS[what];
  const { stdout } = await run("go", ["mod", "download", "-json", module], { cwd: MODULE });
  const { Dir } = JSON.parse(stdout) as { Dir: string };
  const texts = await Promise.all(files.map((file) => readFile(join(Dir, file), "utf8")));
  return texts.flatMap((text) =>
    parseAllDocuments(text)
      .map((document) => document.toJS() as Manifest | null)
      .filter((object) => object !== null),
  );
}

/** Installs them and waits until the API server serves each kind. */
export async function install(kube: KubeClient, definitions: readonly Manifest[]): Promise<void> {
  for (const definition of definitions) await applyManifest(kube, definition);
  for (const { kind, metadata } of definitions) {
    if (kind !== "CustomResourceDefinition") continue;
    await kube.until(kind, undefined, metadata.name, "established", (object) =>
      object?.status?.conditions?.some(
        (condition: { type: string; status: string }) =>
          condition.type === "Established" && condition.status === "True",
      ),
    );
  }
}

/** Takes them out again, with every object of their kinds, and waits until the API server serves none of them: it learns a little later. */
export async function uninstall(kube: KubeClient, definitions: readonly Manifest[]): Promise<void> {
  const kinds = definitions.filter(({ kind }) => kind === "CustomResourceDefinition");
  for (const { metadata } of kinds) await kube.delete("CustomResourceDefinition", undefined, metadata.name);
  for (const { metadata, spec } of kinds) {
    const { group, names, versions } = spec as Definition;
    await kube.until(
      "CustomResourceDefinition",
      undefined,
      metadata.name,
      "gone",
      (one) => one === undefined,
    );
    for (const { name } of versions)
      await eventually(`${metadata.name} is not served`, async () => {
        const { status } = await kube.call("GET", `/apis/${group}/${name}/${names.plural}?limit=1`);
        return status === 404;
      });
  }
}

/** What of a definition says where its objects are served. */
interface Definition {
  group: string;
  names: { plural: string };
  versions: { name: string }[];
}
