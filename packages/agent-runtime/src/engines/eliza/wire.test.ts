import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fitSettings, type ModelFacts } from "../model/facts.ts";
import { withSettings } from "./wire.ts";

const SETTINGS = { temperature: 0.2, presence_penalty: 0.5, max_tokens: 100 };
const shape = (url: string, body: object, settings: object = SETTINGS, facts?: ModelFacts) =>
  JSON.parse(withSettings(url, JSON.stringify(body), fitSettings(settings, facts, "m")));
/** What elizaOS's plugins send, whatever the agent's settings are. */
const OWN = { temperature: 0.7, top_p: 0.95, frequency_penalty: 0.7, presence_penalty: 0.7, other: 1 };

describe("a call of an elizaOS plugin has the agent's settings instead of the plugin's", () => {
  it("by chat completions", () => {
    const body = shape("https://api.openai.com/v1/chat/completions", OWN);
    assert.deepEqual(body, { temperature: 0.2, presence_penalty: 0.5, other: 1 });
  });

  it("by the responses API, where a thinking model gets no temperature that nobody set", () => {
    const luna: ModelFacts = { takes: ["temperature", "top_p"], thinks: "unless_sampled" };
    const url = "https://api.openai.com/v1/responses";
    assert.deepEqual(shape(url, { temperature: 0.7 }, {}, luna), { store: false });
    assert.deepEqual(shape(url, { temperature: 0.7 }, { temperature: 0.2 }, luna), {
      temperature: 0.2,
      store: false,
      reasoning: { effort: "none" },
    });
  });

  it("by Anthropic", () => {
    assert.deepEqual(shape("https://api.anthropic.com/v1/messages", { temperature: 0.7 }, { top_p: 0.1 }), {
      top_p: 0.1,
    });
  });

  it("by Google", () => {
    const url = "https://generativelanguage.googleapis.com/v1beta/models/g:generateContent";
    const generationConfig = { temperature: 0.7, topK: 40, topP: 0.95, maxOutputTokens: 100 };
    assert.deepEqual(shape(url, { generationConfig }), {
      generationConfig: { temperature: 0.2, maxOutputTokens: 100, presencePenalty: 0.5 },
    });
  });
});

it("what is no call of a model, or no JSON, goes out as it is", () => {
  assert.deepEqual(shape("https://api.openai.com/v1/embeddings", OWN), OWN);
  const fitted = fitSettings({}, undefined, "m");
  assert.equal(withSettings("https://x/messages", "no json", fitted), "no json");
  assert.equal(withSettings("not a url", "{}", fitted), "{}");
});
