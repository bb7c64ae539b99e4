import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fitSettings, fromSdkWarnings, type ModelFacts, toSdkWarning } from "./facts.ts";

const EVERYTHING = {
  temperature: 0.3,
  top_p: 0.2,
  presence_penalty: 0.5,
  frequency_penalty: 0.5,
  stop: ["END"],
  max_tokens: 9_000,
};
const fieldsOf = (settings: object, facts: ModelFacts | undefined) =>
  fitSettings(settings, facts, "m").warnings.map(({ field }) => field);

describe("settings of a model", () => {
  it("that the catalogue does not know go out as they are", () => {
    const { call, withoutThinking, warnings } = fitSettings(EVERYTHING, undefined, "m");
    assert.deepEqual(call, {
      temperature: 0.3,
      maxOutputTokens: 9_000,
      topP: 0.2,
      presencePenalty: 0.5,
      frequencyPenalty: 0.5,
      stopSequences: ["END"],
    });
    assert.deepEqual([withoutThinking, warnings], [false, []]);
  });

  it("that takes nothing are left out, each with a warning, and max_tokens is brought to its limit", () => {
    const facts: ModelFacts = { takes: [], maxOutputTokens: 8_000, thinks: "always" };
    const { call, warnings } = fitSettings(EVERYTHING, facts, "m");
    assert.deepEqual(call, { maxOutputTokens: 8_000 });
    assert.deepEqual(warnings.at(-1), {
      field: "settings.max_tokens",
      message: "Sent as 8000, the most that m takes",
    });
    assert.equal(warnings.length, 6);
  });

  it("that thinks unless it is sampled switch thinking off only where a person set one", () => {
    const facts: ModelFacts = { takes: ["temperature", "top_p"], thinks: "unless_sampled" };
    assert.deepEqual(fitSettings({}, facts, "m").call, { maxOutputTokens: 4096 });
    assert.equal(fitSettings({}, facts, "m").withoutThinking, false);
    assert.equal(fitSettings({ temperature: 1 }, facts, "m").withoutThinking, false);
    assert.equal(fitSettings({ temperature: 0.3 }, facts, "m").withoutThinking, true);
  });

  it("that never thinks have the documented default temperature, but not beside a top_p", () => {
    const facts: ModelFacts = { takes: ["temperature", "top_p"], thinks: "never" };
    assert.equal(fitSettings({}, facts, "m").call.temperature, 0.7);
    assert.equal(fitSettings({ top_p: 0.2 }, facts, "m").call.temperature, undefined);
  });

  it("that warn of nothing a person did not set: a default beyond a limit is brought to it in silence", () => {
    assert.deepEqual(fieldsOf({}, { maxOutputTokens: 1_000 }), []);
    assert.equal(fitSettings({}, { maxOutputTokens: 1_000 }, "m").call.maxOutputTokens, 1_000);
  });
});

it("warnings travel through the AI SDK and back, each once", () => {
  const warnings = [
    { field: "settings.top_p", message: "Left out: m takes temperature or top_p, not both" },
    { field: "tools", message: "Left out: m cannot call tools" },
  ];
  const said = [...warnings, ...warnings].map(toSdkWarning);
  assert.deepEqual(
    fromSdkWarnings([...said, { type: "other" }, { type: "unsupported", feature: "seed" }]),
    warnings,
  );
});
