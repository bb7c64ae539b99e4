import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "vitest";
import { type PlanContext, planServices } from "./plan.ts";

test("the controller stops before what its agents settle their calls through", () => {
  const root = join(import.meta.dirname, "../../../..");
  const services = planServices({ root, options: {} } as PlanContext);
  const controller = services.find(({ name }) => name === "controller");
  for (const name of ["gateway", "rest", "service rest"]) assert.ok(controller?.needs.includes(name), name);
});
