import assert from "node:assert/strict";
import { test } from "vitest";
import type { KubeObject } from "./api.ts";
import { compare, quantityOf, removals } from "./compare.ts";

const deployment = (spec: Record<string, unknown>, labels: Record<string, string> = {}): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "a", labels },
  spec,
});
const pod = (container: Record<string, unknown>) => ({ template: { spec: { containers: [container] } } });

/** What differs, in words; additions with a plus. */
function words(wanted: KubeObject, live: KubeObject, ignore?: string[]): string[] {
  const { changed, added } = compare(wanted, live, ignore);
  return [...changed, ...added.map((one) => `+${one.words}`)];
}

const TABLE: [string, Record<string, unknown>, Record<string, unknown>, string[]][] = [
  ["the same", { replicas: 1 }, { replicas: 1 }, []],
  ["another value", { replicas: 1 }, { replicas: 2 }, ["spec.replicas"]],
  ["a value that is gone", { a: { b: 1 } }, {}, ["spec.a"]],
  ["what the server fills in", { a: 1 }, { a: 1, replicas: 1 }, []],
  ["what nobody asked for", { a: 1 }, { a: 1, paused: true }, ["+spec.paused"]],
  ["what says nothing", { a: 1 }, { a: 1, paused: false, b: {}, c: [] }, []],
  ["a zero says something", { a: 1 }, { a: 1, runAsUser: 0 }, ["+spec.runAsUser"]],
  [
    "equal quantities",
    pod({ name: "c", resources: { limits: { cpu: "1", memory: "1Gi" } } }),
    pod({ name: "c", resources: { limits: { cpu: "1000m", memory: "1073741824" } } }),
    [],
  ],
  [
    "other quantities",
    pod({ name: "c", resources: { limits: { cpu: "1" } } }),
    pod({ name: "c", resources: { limits: { cpu: "2" } } }),
    ["spec.template.spec.containers[c].resources.limits.cpu"],
  ],
  [
    "an element by name, wherever it stands",
    pod({ name: "c", env: [{ name: "A", value: "1" }] }),
    pod({
      name: "c",
      env: [
        { name: "B", value: "2" },
        { name: "A", value: "1" },
      ],
    }),
    ["+spec.template.spec.containers[c].env[B]"],
  ],
  [
    "an element that is gone",
    pod({ name: "c", env: [{ name: "A", value: "1" }] }),
    pod({ name: "c", env: [] }),
    ["spec.template.spec.containers[c].env[A]"],
  ],
  [
    "elements without names, by place",
    { list: [1, 2] },
    { list: [1, 3, 4] },
    ["spec.list[1]", "+spec.list[2]"],
  ],
];
for (const [what, wanted, live, expected] of TABLE) {
  test(`compare: ${what}`, () => assert.deepEqual(words(deployment(wanted), deployment(live)), expected));
}

test("labels that others set are theirs; ours are ours; what is ignored does not count", () => {
  assert.deepEqual(words(deployment({}, { a: "1" }), deployment({}, { a: "1", b: "2" })), []);
  assert.deepEqual(words(deployment({}, { a: "1" }), deployment({}, {})), ["metadata.labels.a"]);
  assert.deepEqual(words(deployment({ replicas: 1 }), deployment({ replicas: 2 }), ["spec.replicas"]), []);
});

test("what was added is taken out from the end, so that places stay true", () => {
  const live = deployment({ list: [1, 2, 3], "a/b": 1 });
  const { added } = compare(deployment({ list: [1] }), live);
  assert.deepEqual(removals(added), [
    { op: "remove", path: "/spec/a~1b" },
    { op: "remove", path: "/spec/list/2" },
    { op: "remove", path: "/spec/list/1" },
  ]);
});

test("quantities", () => {
  for (const [text, value] of [
    ["500m", 0.5],
    ["2", 2],
    ["1Ki", 1024],
    ["1.5Gi", 1.5 * 1024 ** 3],
    ["1e3", 1000],
  ] as const) {
    assert.equal(quantityOf(text), value, text);
  }
  assert.ok(Number.isNaN(quantityOf("registry.example/x:1")));
});
