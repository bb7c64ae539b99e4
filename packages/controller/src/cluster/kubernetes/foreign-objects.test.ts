import assert from "node:assert/strict";
import { test } from "vitest";
import { type Content, foreignObjects } from "./foreign-objects.ts";
import { LABELS } from "./names.ts";

const content = (resource: string, name: string, part: Partial<Content["metadata"]> = {}): Content => ({
  resource,
  metadata: { name, uid: `uid-${resource}-${name}`, ...part },
});
const ours = {
  labels: { [LABELS.managedBy]: "agent-launchpad", [LABELS.installation]: "test" },
};
const ownedBy = (uid: string) => ({ ownerReferences: [{ apiVersion: "v1", kind: "X", name: "x", uid }] });

test("a namespace with our objects and the cluster's own has nothing foreign", () => {
  assert.deepEqual(
    foreignObjects(
      [
        content("services", "agent-1", ours),
        content("endpoints", "agent-1"),
        content("endpointslices.discovery.k8s.io", "agent-1-x", ownedBy("uid-services-agent-1")),
        content("deployments.apps", "agent-1", ours),
        content("pods", "agent-1-x", ownedBy("uid-deployments.apps-agent-1")),
        content("configmaps", "kube-root-ca.crt"),
        content("serviceaccounts", "default"),
        content("events", "agent-1.1"),
        content("pods.metrics.k8s.io", "agent-1-x"),
      ],
      "test",
    ),
    [],
  );
});

test("what others put there is named, but not what their objects bring along", () => {
  assert.deepEqual(
    foreignObjects(
      [
        content("persistentvolumeclaims", "data"),
        content("statefulsets.apps", "db"),
        content("pods", "db-0", ownedBy("uid-statefulsets.apps-db")),
        content("secrets", "a-key"),
        content("configmaps", "settings"),
        content("widgets.example.com", "w"),
        content("endpoints", "by-hand"),
        // Owned by something that is in no namespace: nobody else names it.
        content("jobs.batch", "once", ownedBy("uid-elsewhere")),
      ],
      "test",
    ),
    [
      "persistentvolumeclaims/data",
      "statefulsets.apps/db",
      "secrets/a-key",
      "configmaps/settings",
      "widgets.example.com/w",
      "endpoints/by-hand",
      "jobs.batch/once",
    ],
  );
});

test("an object of another installation, or with a part of our labels, is foreign", () => {
  assert.deepEqual(
    foreignObjects(
      [
        content("pods", "other", {
          labels: { [LABELS.managedBy]: "agent-launchpad", [LABELS.installation]: "another" },
        }),
        content("pods", "half", { labels: { [LABELS.installation]: "test" } }),
      ],
      "test",
    ),
    ["pods/other", "pods/half"],
  );
});
