import assert from "node:assert/strict";
import { test } from "vitest";
import { readCharacter } from "./character.ts";

test("nothing, or what is no object, reads as an empty character", () => {
  for (const raw of [undefined, null, "x", [], 5]) {
    const character = readCharacter(raw);
    assert.equal(character.name, undefined);
    assert.deepEqual([character.bio, character.knowledge, character.messageExamples], [[], [], []]);
  }
});

test("texts and lists of texts read alike; blank entries are left out", () => {
  const one = readCharacter({ bio: "a", lore: "b", adjectives: "c", style: { chat: "d" }, personality: "e" });
  const several = readCharacter({
    bio: ["a", " "],
    lore: ["b"],
    adjectives: ["c"],
    style: { chat: ["d"] },
    personality: ["e"],
  });
  assert.deepEqual(one, several);
});

test("knowledge is read in each official form", () => {
  assert.deepEqual(readCharacter({ knowledge: ["a", { path: "x.md" }, { directory: "d" }] }).knowledge, [
    "a",
  ]);
  assert.deepEqual(
    readCharacter({ knowledge: [{ id: "1", path: "a.md", content: "A" }, { text: "B" }] }).knowledge,
    ["A", "B"],
  );
  const documents = [{ id: "1", path: "a.md", content: "all of it" }];
  const chunks = [{ id: "2", documentId: "1", content: "all of" }];
  assert.deepEqual(readCharacter({ knowledge: { documents, chunks } }).knowledge, ["all of it"]);
  assert.deepEqual(readCharacter({ knowledge: { documents: [], chunks } }).knowledge, ["all of"]);
});

test("example conversations are read in both forms, grouped or not", () => {
  const wanted = [
    [
      { name: "{{user1}}", text: "hi" },
      { name: "Ada", text: "hello", actions: ["NONE"] },
    ],
  ];
  const old = [
    { user: "{{user1}}", content: { text: "hi" } },
    { user: "Ada", content: { text: "hello", action: "NONE" } },
  ];
  const current = [
    { name: "{{user1}}", content: { text: "hi" } },
    { name: "Ada", content: { text: "hello", actions: ["NONE"] } },
  ];
  assert.deepEqual(readCharacter({ messageExamples: [old] }).messageExamples, wanted);
  assert.deepEqual(readCharacter({ messageExamples: [current] }).messageExamples, wanted);
  assert.deepEqual(readCharacter({ messageExamples: [{ examples: current }] }).messageExamples, wanted);
});

test("{{name}}, {{char}} and {{agentName}} stand for the character's name, else the agent's", () => {
  const character = { system: "You are {{name}}.", bio: ["{{char}} helps"], lore: ["{{ agentName }}"] };
  const named = readCharacter({ ...character, name: "Ada" }, "bot");
  assert.deepEqual([named.system, named.bio, named.lore], ["You are Ada.", ["Ada helps"], ["Ada"]]);
  assert.equal(readCharacter(character, "bot").system, "You are bot.");
});

test("what no form knows is skipped, never thrown", () => {
  const character = readCharacter({
    name: 5,
    bio: { a: 1 },
    lore: [1, null, ["x"]],
    style: { chat: [1] },
    knowledge: [{ documents: 1 }, 7],
    messageExamples: "x",
  });
  assert.deepEqual(
    [character.name, character.bio, character.lore, character.style.chat],
    [undefined, [], [], []],
  );
  assert.deepEqual([character.knowledge, character.messageExamples], [[], []]);
});
