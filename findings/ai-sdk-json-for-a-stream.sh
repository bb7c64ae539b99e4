#!/usr/bin/env bash
# The AI SDK asks a server for a stream and gets one JSON document with the status 200, as some servers that speak OpenAI's form
# answer: the whole answer, or an error. streamText of ai 7.0.173 with @ai-sdk/openai 4.0.118 ends without a text and without an
# error in both cases, with finishReason "interrupted": the answer is lost, and the error's words too. generateText reads the same
# document. Consequence: we look at the content type before the SDK does
# (packages/agent-runtime/src/engines/model/compatible.ts).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 ai@7.0.173 @ai-sdk/openai@4.0.118 >/dev/null
cat >ask.mjs <<'END'
import { createServer } from "node:http";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";
const bodies = {
  answer: {
    id: "x", object: "chat.completion", created: 1, model: "m",
    choices: [{ index: 0, message: { role: "assistant", content: "Hi" }, finish_reason: "stop" }],
  },
  error: { error: { message: "no such model" } },
};
let body;
const server = createServer((_request, response) =>
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body)));
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const openai = createOpenAI({ apiKey: "k", baseURL: `http://127.0.0.1:${server.address().port}/v1` });
const call = { model: openai.chat("m"), prompt: "Hello", maxRetries: 0 };
for (body of Object.values(bodies)) {
  const kinds = [];
  const result = streamText({ ...call, onError: () => undefined });
  for await (const part of result.fullStream) kinds.push(part.type === "finish" ? `finish ${part.finishReason}` : part.type);
  console.log("streamText", kinds.join(", "));
}
body = bodies.answer;
console.log("generateText", (await generateText(call)).text);
server.close();
END
node_modules/.bin/node ask.mjs 2>/dev/null | tee seen
cat >expected <<'END'
streamText start, start-step, finish-step, finish interrupted
streamText start, start-step, finish-step, finish interrupted
generateText Hi
END
diff expected seen && echo "as found"
