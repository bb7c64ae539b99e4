#!/usr/bin/env bash
# A provider withholds the rest of an answer (its filter, a refusal) and says so in the response: three of elizaOS's provider plugins
# (openai 1.6.0, anthropic 1.5.12, google-genai 1.1.0 with @elizaos/core 1.7.2) return the half sentence as the answer, without an
# error or a warning. A model handler gives back a text alone, so whoever calls useModel cannot know.
# The responses are as the providers document them: "incomplete" with content_filter, stop_reason "refusal", finishReason "SAFETY".
# Consequence: we read the reason on the wire (docs/adr/0207-eliza-answers-are-checked-on-the-wire.md).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @elizaos/core@1.7.2 @elizaos/plugin-openai@1.6.0 \
  @elizaos/plugin-anthropic@1.5.12 @elizaos/plugin-google-genai@1.1.0 >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 >/dev/null
cat >ask.mjs <<'JS'
import { createServer } from "node:http";
import anthropic from "@elizaos/plugin-anthropic";
import google from "@elizaos/plugin-google-genai";
import openai from "@elizaos/plugin-openai";

const text = "Take two of the";
const answers = [
  [/\/responses$/, {
    id: "resp_1", object: "response", created_at: 1, model: "m", status: "incomplete",
    incomplete_details: { reason: "content_filter" },
    output: [{ type: "message", id: "msg_1", role: "assistant", status: "incomplete", content: [{ type: "output_text", text, annotations: [] }] }],
    usage: { input_tokens: 5, output_tokens: 4, total_tokens: 9 },
  }],
  [/\/messages$/, {
    id: "msg_1", type: "message", role: "assistant", model: "m", content: [{ type: "text", text }],
    stop_reason: "refusal", stop_sequence: null, usage: { input_tokens: 5, output_tokens: 4 },
  }],
  [/:generateContent$/, {
    candidates: [{ content: { role: "model", parts: [{ text }] }, finishReason: "SAFETY", index: 0 }],
    usageMetadata: { promptTokenCount: 5, candidatesTokenCount: 4, totalTokenCount: 9 },
  }],
];
const server = createServer((request, response) => {
  request.resume();
  const { pathname } = new URL(request.url, "http://localhost");
  const [, body] = answers.find(([form]) => form.test(pathname)) ?? [];
  response.writeHead(body ? 200 : 404, { "content-type": "application/json" }).end(JSON.stringify(body ?? {}));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const base = `http://127.0.0.1:${server.address().port}`;
// Google's plugin has no setting for the address.
const direct = globalThis.fetch;
globalThis.fetch = (input, init) => direct(String(input?.url ?? input).replace(/^https:\/\/[^/]+/, base), init);

const settings = {
  OPENAI_API_KEY: "k", OPENAI_BASE_URL: `${base}/v1`,
  ANTHROPIC_API_KEY: "k", ANTHROPIC_BASE_URL: `${base}/v1`,
  GOOGLE_GENERATIVE_AI_API_KEY: "k",
};
const runtime = { getSetting: (name) => settings[name] ?? null, emitEvent() {}, character: { system: "You help." }, agentId: "a" };
for (const [name, plugin] of Object.entries({ openai, anthropic, google })) {
  const said = await plugin.models.TEXT_LARGE(runtime, { prompt: "How many?" }).then(
    (answer) => `answers ${JSON.stringify(answer)}`,
    (error) => `throws ${error.message}`,
  );
  console.log(`seen: ${name} ${said}`);
}
process.exit();
JS
node_modules/.bin/node --no-warnings ask.mjs 2>log | grep '^seen:' | tee seen
cat >expected <<'TXT'
seen: openai answers "Take two of the"
seen: anthropic answers "Take two of the"
seen: google answers "Take two of the"
TXT
diff expected seen && echo "as found"
