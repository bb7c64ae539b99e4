import assert from "node:assert/strict";
import { join } from "node:path";
import type { RunParts } from "@agent-launchpad/local-supabase/run.ts";
import { test } from "vitest";
import type { StackOptions } from "../stack.ts";
import { planStack } from "./plan.ts";

test("the controller stops before what its agents settle their calls through", () => {
  const root = join(import.meta.dirname, "../../../..");
  const { services } = planStack({} as StackOptions, root, {} as RunParts);
  const controller = services.find(({ name }) => name === "controller");
  for (const name of ["gateway", "rest", "service rest"]) assert.ok(controller?.needs.includes(name), name);
});
