// What `satisfies Wire<…>` refuses. The compiler judges it in `npm run check`: a line that compiles under `@ts-expect-error` fails.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type {
  EventsV1Event,
  V1Deployment,
  V1LimitRange,
  V1NetworkPolicyIngressRule,
  V1PodSpec,
} from "@kubernetes/client-node";
import { test } from "vitest";
import { optional, type Wire } from "./wire.ts";

const container = { name: "agent" };

test("a field that a pod does not have does not compile", () => {
  const spec = {
    containers: [container],
    // @ts-expect-error automountServiceAccountToken
    automountServiceAccountTokens: false,
  } satisfies Wire<V1PodSpec>;
  assert.ok(spec);
});

test("a misspelt field deep inside a Deployment does not compile", () => {
  const deployment = {
    metadata: { name: "ada" },
    spec: {
      selector: { matchLabels: {} },
      template: {
        spec: {
          containers: [
            {
              name: "agent",
              // @ts-expect-error allowPrivilegeEscalation
              securityContext: { allowPrivilegeEscalations: false },
            },
          ],
        },
      },
    },
  } satisfies Wire<V1Deployment>;
  assert.ok(deployment);
});

test("a field that is required and missing, or of another type, does not compile", () => {
  // @ts-expect-error containers is required
  const empty = {} satisfies Wire<V1PodSpec>;
  // @ts-expect-error containers may not be undefined
  const none = { containers: undefined } satisfies Wire<V1PodSpec>;
  const text = {
    containers: [container],
    // @ts-expect-error a number
    terminationGracePeriodSeconds: "30",
  } satisfies Wire<V1PodSpec>;
  assert.ok(empty && none && text);
});

test("names and times are those of the API, not of the library", () => {
  const rule = { from: [{ podSelector: {} }] } satisfies Wire<V1NetworkPolicyIngressRule>;
  // @ts-expect-error the library's own name
  const library = { _from: [] } satisfies Wire<V1NetworkPolicyIngressRule>;
  const limits = {
    spec: { limits: [{ type: "Container", default: { cpu: "1" } }] },
  } satisfies Wire<V1LimitRange>;
  const event = { eventTime: "2026-01-01T00:00:00.000000Z" } satisfies Partial<Wire<EventsV1Event>>;
  const nothing = { containers: [container], hostname: undefined } satisfies Wire<V1PodSpec>;
  assert.ok(rule && library && limits && event && nothing);
});

test("no builder of manifests loads the Kubernetes library", () => {
  for (const file of readdirSync(import.meta.dirname)) {
    const text = readFileSync(join(import.meta.dirname, file), "utf8");
    assert.doesNotMatch(text, /^import (?!type )[^;]*"@kubernetes\/client-node"/m, file);
  }
});

test("a misspelt optional field does not compile either", () => {
  // @ts-expect-error imagePullSecrets
  const spec = { containers: [container], ...optional<V1PodSpec>({ imagePullSecret: [] }) };
  assert.deepEqual(optional<V1PodSpec>(false), {});
  assert.deepEqual(optional<V1PodSpec>({ hostname: "ada" }), { hostname: "ada" });
  assert.ok(spec satisfies Wire<V1PodSpec>);
});

test("no builder spreads unchecked fields", () => {
  for (const file of readdirSync(import.meta.dirname).filter((name) => !name.includes("test"))) {
    const text = readFileSync(join(import.meta.dirname, file), "utf8");
    assert.doesNotMatch(
      text,
      /\.\.\.\([^\n]*(?<![[(])\{ \w|\? \{\}\s*: \{\s*\w/,
      `${file}: use optional<…>()`,
    );
  }
});
