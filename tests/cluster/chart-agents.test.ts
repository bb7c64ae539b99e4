// What chart values give agents' pods: as both majors of Helm render it, as the controller reads it, and what is refused.
import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { readConfig } from "../../packages/controller/src/config.ts";
import { type Manifest, renderValues } from "../helpers/chart.ts";
import { helm } from "../helpers/tools.ts";

const PODS = {
  runtimeClassName: "gvisor",
  priorityClassName: "agents-low",
  nodeSelector: { "example.com/pool": "agents" },
  tolerations: [{ key: "agents", operator: "Exists" }],
  affinity: { nodeAffinity: {} },
  labels: { "example.com/tier": "agents" },
  annotations: { "example.com/note": "any: 'text'" },
  hostUsers: false,
};

for (const major of [3, 4] as const) {
  const program = helm(major);
  describe(`Helm ${major}`, { skip: program === undefined }, () => {
    const read = (agents: object) => {
      const manifests = renderValues(program as string, { agents });
      const { spec } = manifests.find(({ kind }) => kind === "Deployment") as Manifest;
      const env: { name: string; value?: string }[] = spec.template.spec.containers[0].env;
      const given = Object.fromEntries(
        env.map(({ name, value }) => [name, value ?? "a-secret-of-16-characters"]),
      );
      return readConfig(given).kubernetes?.pods;
    };

    test("placement, sandbox and labels of agents' pods reach the controller", () => {
      assert.deepEqual(read(PODS), PODS);
    });

    test("without values the controller gives pods nothing", () => {
      assert.deepEqual(read({}), {});
    });

    test("a misspelt field and a value of the wrong form are refused with their place", () => {
      for (const [agents, place] of [
        [{ runtimeClass: "gvisor" }, /runtimeClass/],
        [{ nodeSelector: { pool: "-x" } }, /nodeSelector/],
        [{ tolerations: { key: "a" } }, /tolerations/],
        [{ hostUsers: "no" }, /hostUsers/],
        [{ labels: { team: "x".repeat(64) } }, /labels/],
      ] as const) {
        assert.throws(() => read(agents), place);
      }
    });
  });
}

test("the controller refuses a setting of pods that it does not know, by its name", () => {
  const needed = {
    LAUNCHPAD_SUPABASE_URL: "https://x.supabase.co",
    LAUNCHPAD_SECRET_KEY: "sb_secret_x",
    LAUNCHPAD_WEBHOOK_SECRET: "a-secret-of-16-characters",
    LAUNCHPAD_CLUSTER: "kubernetes",
  };
  for (const [pods, problem] of [
    ['{"hostNetwork": true}', /LAUNCHPAD_AGENT_PODS/],
    ['{"labels": {"a b": "c"}}', /LAUNCHPAD_AGENT_PODS/],
    ["gvisor", /LAUNCHPAD_AGENT_PODS.*is not JSON/],
  ] as const) {
    assert.throws(() => readConfig({ ...needed, LAUNCHPAD_AGENT_PODS: pods }), problem);
  }
});
