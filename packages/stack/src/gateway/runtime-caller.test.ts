import assert from "node:assert/strict";
import { generateKeys } from "@agent-launchpad/local-supabase/keys.ts";
import { test } from "vitest";
import { runtimeCredential } from "../secrets.ts";
import { runtimeCaller } from "./runtime-caller.ts";

test("a runtime is known by its agent's credential alone", () => {
  const keys = generateKeys();
  const caller = (runtime?: string) =>
    runtimeCaller({ headers: runtime === undefined ? {} : { "x-launchpad-runtime": runtime } }, keys);
  const proof = runtimeCredential(keys, "agent-1");
  assert.equal(caller(`agent-1.${proof}`), "agent agent-1");
  assert.equal(caller(), undefined);
  for (const forged of [
    `agent-2.${proof}`,
    `agent-1.${"0".repeat(64)}`,
    `agent-1.${proof}0`,
    "agent-1",
    proof,
    "",
  ])
    assert.equal(caller(forged), undefined, forged);
});
