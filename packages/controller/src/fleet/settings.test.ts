import assert from "node:assert/strict";
import { test } from "vitest";
import { settingsTrouble } from "./settings.ts";

test("settings without a problem are no trouble", () => {
  assert.equal(settingsTrouble({}), undefined);
  assert.equal(settingsTrouble(null), undefined);
});

test("a wrong setting is named as the chart's value, with its problem and where to correct it", () => {
  assert.equal(
    settingsTrouble({ "tolerations[0].operator": "Must be Equal or Exists" }),
    "Kubernetes would refuse every agent with these settings. agents.tolerations[0].operator: Must be Equal or Exists. Correct the chart's values (LAUNCHPAD_AGENT_PODS without the chart).",
  );
  assert.match(
    settingsTrouble({ image: "Must be an image" }) ?? "",
    /agents\.image: .*LAUNCHPAD_AGENT_IMAGE/,
  );
});

test("of many problems five are named, and how many more there are", () => {
  const problems = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`labels.l${at}`, "Wrong"]));
  assert.match(settingsTrouble(problems) ?? "", /labels\.l4: Wrong\. 3 more follow\./);
});
