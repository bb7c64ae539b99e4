import assert from "node:assert/strict";
import { generateText, streamText } from "ai";
import { describe, it } from "vitest";
import { createEcho } from "./echo.ts";

describe("echo", () => {
  it("answers with the last message and says what it is", async () => {
    const { text, usage, finishReason } = await generateText({
      model: createEcho("echo"),
      messages: [
        { role: "user", content: "first" },
        { role: "assistant", content: "x" },
        { role: "user", content: [{ type: "text", text: "second" }] },
      ],
    });
    assert.match(text, /^You said: second\n\nThis is echo, a built-in test model/);
    assert.equal(finishReason, "stop");
    assert.ok(usage.inputTokens && usage.outputTokens);
  });

  it("streams the same text in pieces", async () => {
    const { textStream } = streamText({ model: createEcho("echo"), prompt: "one two" });
    const pieces = await Array.fromAsync(textStream);
    assert.ok(pieces.length > 5);
    const { text } = await generateText({ model: createEcho("echo"), prompt: "one two" });
    assert.equal(pieces.join(""), text);
  });

  it("repeats the beginning of a long message alone", async () => {
    const { text } = await generateText({ model: createEcho("echo"), prompt: "x".repeat(100_000) });
    assert.ok(text.length < 700);
    assert.match(text, /x…\n/);
  });
});
