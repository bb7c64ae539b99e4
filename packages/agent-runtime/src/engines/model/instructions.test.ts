import assert from "node:assert/strict";
import { test } from "vitest";
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

test("{{user1}} is a person wherever a character speaks of one; facts are kept as they are", () => {
  const character = {
    system: "Help {{user1}}.",
    bio: "Met {{user}}",
    lore: ["{{user2}} built you"],
    topics: ["{{user1}}"],
    style: { chat: ["Greet {{ user1 }}"] },
    knowledge: ["Write {{user1}} in a template"],
    messageExamples: [[{ user: "{{user1}}", content: { text: "I am {{user1}}, {{name}}" } }]],
  };
  assert.equal(
    composeInstructions({ name: "Ada", character, systemPrompt: undefined }),
    [
      "Help User.",
      "You are Ada.",
      "About you: Met User",
      "Background:\n- User 2 built you",
      "Topics you know well: User",
      "Facts you know:\n- Write {{user1}} in a template",
      "How you write:\n- Greet User",
      "Examples of how you talk: User: I am User, Ada",
    ].join("\n\n"),
  );
});
