import assert from "node:assert/strict";
import { test } from "node:test";
import { composeInstructions } from "./instructions.ts";

test("an agent with nothing but a name", () => {
  assert.equal(
    composeInstructions({ name: "my-bot", character: {}, systemPrompt: undefined }),
    "You are my-bot.",
  );
});

test("everything a character can say, the most binding first", () => {
  const text = composeInstructions({
    name: "my-bot",
    systemPrompt: "PROMPT",
    character: {
      name: "Ada",
      bio: ["First line.", "Second line."],
      lore: "Born in a lab",
      personality: "Calm, exact",
      system: "SYSTEM",
      adjectives: ["kind", "brief"],
      topics: ["sums"],
      knowledge: ["Two and two are four", { path: "file.md" }],
      style: { all: ["No jargon"], chat: "Short answers", post: ["unused"] },
      messageExamples: [
        [
          { name: "User", content: { text: "Hi" } },
          { user: "Ada", content: { text: "Hello." } },
        ],
        "broken",
      ],
    },
  });
  assert.equal(
    text,
    [
      "PROMPT",
      "SYSTEM",
      "You are Ada.",
      "About you:\nFirst line.\nSecond line.",
      "Background:\n- Born in a lab",
      "Personality: Calm, exact",
      "You are: kind, brief",
      "Topics you know well: sums",
      "Facts you know:\n- Two and two are four",
      "How you write:\n- No jargon\n- Short answers",
      "Examples of how you talk:\nUser: Hi\nAda: Hello.",
    ].join("\n\n"),
  );
});

test("blank parts leave no empty heading", () => {
  const character = {
    name: " ",
    bio: "",
    adjectives: [" "],
    style: { all: [] },
    messageExamples: [[null, { content: {} }]],
  };
  assert.equal(composeInstructions({ name: "bot", character, systemPrompt: "  " }), "You are bot.");
});
