import assert from "node:assert/strict";
import { test } from "vitest";
import { parseDefinition } from "./definition.ts";
import { definitionText, type Template } from "./templates.ts";

for (const template of ["basic", "tools", "elizaos", "public"] satisfies Template[]) {
  test(`the template ${template} is a definition, also where every suggestion is taken`, async () => {
    const text = definitionText(template, { name: `it's "mine"`, file: "ada.yaml" });
    const { value } = await parseDefinition(text, "ada.yaml");
    assert.equal(value.agentName, `it's "mine"`);
    assert.doesNotMatch(text, /\bFILE\b|\bNAME\b/);
    const all = await parseDefinition(
      text.replaceAll(/^# (framework|model|environment|plugins):/gm, "$1:").replaceAll(/^# {3}/gm, "  "),
      "ada.yaml",
    );
    assert.ok(all.value.model);
    assert.deepEqual(Object.keys(all.value.environment as object), ["OPENAI_API_KEY"]);
    const chosen = definitionText(template, { name: "x", file: "x.yaml", framework: "echo" });
    assert.equal((await parseDefinition(chosen, "x.yaml")).value.framework, "echo");
  });
}
