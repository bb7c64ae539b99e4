import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "vitest";
import { kubernetesTarget } from "./kubeconfig.ts";

test("the flag wins over KUBECONFIG, whose files all count; a missing file is named", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "launchpad-kubeconfig-"));
  context.onTestFinished(() => rmSync(folder, { recursive: true }));
  const [first, second] = [join(folder, "first"), join(folder, "second")];
  for (const file of [first, second]) writeFileSync(file, "");

  const both = `${first}:${second}`;
  assert.deepEqual(kubernetesTarget({}, { KUBECONFIG: both }), { kubeconfig: both });
  assert.deepEqual(kubernetesTarget({}, { KUBECONFIG: `:${folder}/none:${second}` }), { kubeconfig: second });
  assert.deepEqual(kubernetesTarget({ kubeconfig: second, context: "c" }, { KUBECONFIG: first }), {
    kubeconfig: second,
    context: "c",
  });
  const missing = join(folder, "missing");
  assert.throws(() => kubernetesTarget({ kubeconfig: missing }, {}), {
    name: "StackError",
    message: `The kubeconfig file ${missing} cannot be read (ENOENT); name another one with --kubeconfig.`,
  });
});
