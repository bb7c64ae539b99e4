// Values that are missing, or that YAML reads as something else, with both majors of Helm.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "vitest";
import { parse } from "yaml";
import { CHART, type Manifest, renderChart, renderValues } from "../helpers/chart.ts";
import { helm } from "../helpers/tools.ts";

type Values = { [name: string]: unknown };

const programs = { 3: helm(3), 4: helm(4) };
const options = { skip: programs[3] === undefined };
/** Everything that the chart can make is made. */
const ALL = {
  supabase: { url: "https://project.example.com", publishableKey: "sb_publishable_for-tests" },
  secretName: "launchpad",
  agents: { domain: "example.com" },
  serviceMonitor: { enabled: true },
  prometheusRule: { enabled: true },
  dashboard: { enabled: true },
  webhook: { ingress: { enabled: true, host: "hooks.example.com" } },
  service: { type: "LoadBalancer" },
};
/** `null` has a meaning in these: the field is left out of the object. */
const OPTIONAL = /SecurityContext|^resources|^strategy\.|^dashboard\.labels\./;
const defaults = parse(readFileSync(join(CHART, "values.yaml"), "utf8")) as Values;

for (const major of [3, 4] as const) {
  const render = (values: object, release?: { name: string; namespace: string }) =>
    renderValues(programs[major] as string, values, [], release);

  describe(`Helm ${major}`, options, () => {
    test("a map that is missing has its defaults", () => {
      const expected = render(ALL);
      const maps = pathsOf(defaults).filter(([, value]) => isMap(value) && Object.keys(value).length > 0);
      const given = new Set(pathsOf(ALL).map(([path]) => path));
      const missing = maps.map(([path]) => path).filter((path) => !OPTIONAL.test(path) && !given.has(path));
      assert.ok(missing.length > 15, missing.join());
      for (const path of missing) assert.deepEqual(render(merged(ALL, at(path, null))), expected, path);
    });

    test("every single value that is null has its default", () => {
      const expected = render(ALL);
      const given = new Map(pathsOf(ALL));
      const nulls = pathsOf(defaults).filter(
        ([path, value]) =>
          !OPTIONAL.test(path) && !given.has(path) && !(isMap(value) && Object.keys(value).length > 0),
      );
      assert.ok(nulls.length > 90, String(nulls.length));
      const values = nulls.reduce((all: Values, [path]) => merged(all, at(path, null)), ALL);
      assert.deepEqual(render(values), expected);
    });

    test("null takes resources and security contexts out", () => {
      const { spec } = deploymentOf(
        render({ ...ALL, resources: null, podSecurityContext: null, containerSecurityContext: null }),
      );
      assert.equal(spec.template.spec.securityContext, undefined);
      assert.equal(spec.template.spec.containers[0].securityContext, undefined);
      assert.equal(spec.template.spec.containers[0].resources, undefined);
    });

    test("names that YAML would read as numbers and words stay names", () => {
      for (const name of ["123", "1e3", "true", "null", "0x1f"]) {
        const manifests = render(
          {
            nameOverride: name,
            secretName: name,
            providerSecretName: name,
            installation: name,
            priorityClassName: name,
            runtimeClassName: name,
            schedulerName: name,
            serviceAccount: { name },
            caBundle: { name },
            imagePullSecrets: [name, { name }],
            webhook: {
              ingress: { enabled: true, host: `${name}.example.com`, className: name, tlsSecret: name },
            },
          },
          { name, namespace: name },
        );
        const texts = new Set<unknown>();
        for (const { metadata } of manifests)
          for (const text of [
            metadata.name,
            metadata.namespace ?? "",
            ...Object.values(metadata.labels ?? {}),
          ])
            texts.add(typeof text);
        const { template, selector } = deploymentOf(manifests).spec;
        const { spec } = template;
        for (const text of [
          ...Object.values(selector.matchLabels),
          spec.serviceAccountName,
          spec.priorityClassName,
          spec.runtimeClassName,
          spec.schedulerName,
          ...spec.imagePullSecrets.map((one: { name: string }) => one.name),
          spec.containers[0].envFrom[0].secretRef.name,
          ...spec.containers[0].env.flatMap(
            ({ valueFrom }: { valueFrom?: { secretKeyRef?: { name: string } } }) =>
              valueFrom?.secretKeyRef?.name ?? [],
          ),
          ...spec.volumes.flatMap(({ configMap }: { configMap?: { name: string } }) => configMap?.name ?? []),
        ])
          texts.add(typeof text);
        assert.deepEqual([...texts], ["string"], name);
      }
    });

    test("a release's name with dots, or of 53 characters, makes names that every object may have", () => {
      for (const name of ["launchpad.eu-1", "x".repeat(53), `${"x".repeat(49)}-yyy`]) {
        const manifests = render(
          { nameOverride: "n".repeat(63), commonLabels: { team: "t".repeat(63) } },
          { name, namespace: "n".repeat(63) },
        );
        for (const { kind, metadata } of manifests)
          assert.match(metadata.name, /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/, `${kind} of ${name}`);
        const { env } = deploymentOf(manifests).spec.template.spec.containers[0];
        const installation = env.find((one: { name: string }) => one.name === "LAUNCHPAD_INSTALLATION");
        assert.match(installation.value, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
      }
    });

    test("a label that is given twice stands once", () => {
      const manifests = render({
        ...ALL,
        commonLabels: { release: "prometheus", grafana_dashboard: "2" },
        serviceMonitor: { enabled: true, labels: { release: "other" } },
        prometheusRule: { enabled: true, labels: { release: "other", "app.kubernetes.io/name": "mine" } },
        service: { labels: { "agent-launchpad.dev/scrape": "mine" } },
      });
      const labels = (kind: string) => manifests.find((one) => one.kind === kind)?.metadata.labels ?? {};
      assert.equal(labels("ServiceMonitor").release, "other");
      assert.equal(labels("PrometheusRule").release, "other");
      assert.equal(labels("ConfigMap").grafana_dashboard, "1");
      assert.equal(labels("Service")["agent-launchpad.dev/scrape"], "metrics");
    });

    test("the controller's policy opens the ports of the addresses that it is given", () => {
      const ports = (values: Record<string, string>) => {
        const manifests = renderChart(programs[major] as string, values);
        const policy = manifests.find(({ kind }) => kind === "NetworkPolicy");
        return policy?.spec.egress[1].ports.map(({ port }: { port: number }) => port);
      };
      assert.deepEqual(ports({}), [443, 6443]);
      assert.deepEqual(ports({ "supabase.url": "https://[2001:db8::5]:8443" }), [443, 6443, 8443]);
      assert.deepEqual(ports({ "supabase.url": "http://kong.supabase:8000/" }), [443, 6443, 8000]);
      assert.deepEqual(ports({ "supabase.url": "http://supabase.internal" }), [443, 6443, 80]);
      assert.deepEqual(ports({ "networkPolicy.egressPorts": "{16443}" }), [16443, 443]);
    });
  });
}

function deploymentOf(manifests: Manifest[]): Manifest {
  return manifests.find(({ kind }) => kind === "Deployment") as Manifest;
}

function isMap(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every value by its path, maps included. */
function pathsOf(values: Values, before = ""): [path: string, value: unknown][] {
  return Object.entries(values).flatMap(([name, value]) => [
    [`${before}${name}`, value] as [string, unknown],
    ...(isMap(value) ? pathsOf(value, `${before}${name}.`) : []),
  ]);
}

function at(path: string, value: unknown): Values {
  return path.split(".").reduceRight((inner: unknown, name) => ({ [name]: inner }), value) as Values;
}

function merged(one: Values, other: Values): Values {
  const all: Values = { ...one };
  for (const [name, value] of Object.entries(other)) {
    const before = all[name];
    all[name] = isMap(before) && isMap(value) ? merged(before, value) : value;
  }
  return all;
}
