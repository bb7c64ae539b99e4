import assert from "node:assert/strict";
import { test } from "vitest";
import type { Turn } from "../engine.ts";
import { Conversations } from "./conversations.ts";

const user = (content: string): Turn => ({ role: "user", content });
const assistant = (content: string): Turn => ({ role: "assistant", content });
const LIMITS = { turns: 4, characters: 20, conversations: 2, totalCharacters: 30 };

test("conversations are apart and in order", () => {
  const conversations = new Conversations();
  conversations.add("a", user("1"), assistant("2"));
  conversations.add("b", user("x"));
  conversations.add("a", user("3"));
  assert.deepEqual(
    conversations.history("a").map(({ content }) => content),
    ["1", "2", "3"],
  );
  assert.deepEqual(conversations.history("never"), []);
});

test("the oldest turns go first, and what stays begins with the user", () => {
  const conversations = new Conversations(LIMITS);
  conversations.add("a", user("1"), assistant("2"), user("3"), assistant("4"), user("5"));
  assert.deepEqual(
    conversations.history("a").map(({ content }) => content),
    ["3", "4", "5"],
  );
});

test("long turns push out more", () => {
  const conversations = new Conversations(LIMITS);
  conversations.add("a", user("1234567890"), assistant("1"), user("2"), assistant("1234567890"));
  assert.deepEqual(
    conversations.history("a").map(({ content }) => content),
    ["2", "1234567890"],
  );
  conversations.add("a", user("x".repeat(21)));
  assert.deepEqual(conversations.history("a"), [], "a turn too long for the memory is not kept");
});

test("the conversation unused for longest goes first, in number and in size", () => {
  const conversations = new Conversations(LIMITS);
  conversations.add("a", user("1"));
  conversations.add("b", user("2"));
  conversations.add("a", user("3"));
  conversations.add("c", user("4"));
  assert.equal(conversations.size, 2);
  assert.deepEqual(conversations.history("b"), []);
  conversations.add("d", user("x".repeat(18)));
  conversations.add("e", user("y".repeat(18)));
  assert.equal(conversations.size, 1);
  assert.equal(conversations.characters, 18);
});
