// Who gets a vector of a question: a runtime with its agent's credential, of an agent whose knowledge has vectors.
import assert from "node:assert/strict";
import { test } from "vitest";
import type { Embed } from "../_shared/embeddings.ts";
import { type Call, CallRefused } from "../_shared/project-call.ts";
import { embedQuestion } from "./question.ts";

const asked: [string, string][] = [];
const embed: Embed = async ({ model }, [text = ""], purpose) => {
  asked.push([model, `${purpose}: ${text}`]);
  return [[1, 2]];
};
const model: Call = async (name, args) => {
  assert.equal(name, "runtime_question_model");
  assert.deepEqual(args, { agent_id: "a", credential: "c" });
  return { framework: "openai", model: "m" };
};
const body = JSON.stringify({ agent_id: "a", credential: "c", question: "And there?", before: "Hello" });
const said = async (answer: Promise<Response>) => [(await answer).status, await (await answer).json()];

test("its runtime gets the vector of the question with what was said before", async () => {
  assert.deepEqual(await said(embedQuestion(body, model, embed)), [200, { embedding: [1, 2] }]);
  assert.deepEqual(asked.splice(0), [["m", "question: Hello\nAnd there?"]]);
});

test("without a proof, or without vectors to compare with, no model is asked", async () => {
  const refused: Call = () => Promise.reject(new CallRefused(403, "INSUFFICIENT_PERMISSIONS", "no"));
  assert.deepEqual(await said(embedQuestion(body, refused, embed)), [
    403,
    { code: "INSUFFICIENT_PERMISSIONS", message: "no" },
  ]);
  assert.deepEqual(await said(embedQuestion(body, async () => null, embed)), [200, { embedding: null }]);
  for (const bad of ["", "{}", "[]", "null", '{"agent_id":"a","credential":"c"}', body.replace('"a"', "5")])
    assert.equal((await embedQuestion(bad, model, embed)).status, 400, bad);
  assert.deepEqual(asked, []);
});

test("a model or a project that fails is 424 with a sentence: the runtime goes on by words", async () => {
  const failing: Embed = () => Promise.reject(Object.assign(new Error("sk-x"), { statusCode: 429 }));
  assert.deepEqual(await said(embedQuestion(body, model, failing)), [
    424,
    { code: "MODEL_UNAVAILABLE", message: "The embedding model answered with HTTP 429." },
  ]);
  const down: Call = () => Promise.reject(new Error("ECONNREFUSED"));
  assert.equal((await embedQuestion(body, down, embed)).status, 424);
});
