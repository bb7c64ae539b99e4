import assert from "node:assert/strict";
import { test } from "vitest";
import { mapSettings } from "./settings.ts";

test("defaults are the documented ones", () => {
  assert.deepEqual(mapSettings({}), { temperature: 0.7, maxOutputTokens: 4096 });
});

test("a chosen top_p is not cancelled by a default temperature", () => {
  assert.deepEqual(mapSettings({ top_p: 0.2 }), { maxOutputTokens: 4096, topP: 0.2 });
});

test("what changes nothing is not sent", () => {
  const neutral = { temperature: 0, top_p: 1, presence_penalty: 0, frequency_penalty: 0, stop: [] };
  assert.deepEqual(mapSettings(neutral), { temperature: 0, maxOutputTokens: 4096 });
});

test("every setting is mapped", () => {
  const all = {
    temperature: 1.5,
    max_tokens: 10,
    top_p: 0.9,
    presence_penalty: -1,
    frequency_penalty: 1,
    stop: "END",
  };
  assert.deepEqual(mapSettings(all), {
    temperature: 1.5,
    maxOutputTokens: 10,
    topP: 0.9,
    presencePenalty: -1,
    frequencyPenalty: 1,
    stopSequences: ["END"],
  });
});
