// A model that repeats what it is sent, for a first answer without an account.

import type { LanguageModel } from "./providers.ts";

type Call = Parameters<LanguageModel["doStream"]>[0];
type Generated = Awaited<ReturnType<LanguageModel["doGenerate"]>>;
type Part =
  Awaited<ReturnType<LanguageModel["doStream"]>>["stream"] extends ReadableStream<infer P> ? P : never;

/** Stands where other providers have a key: echo calls no server. */
export const ECHO_KEY = "echo-needs-no-key";

/** The longest text that is repeated, in characters. */
const MAX_REPEATED = 500;

/** Creates the model. It calls no tools and keeps nothing. */
export function createEcho(modelId: string): LanguageModel {
  return {
    specificationVersion: "v4",
    provider: "echo",
    modelId,
    supportedUrls: {},
    async doGenerate(options) {
      const text = echoOf(options.prompt);
      return {
        content: [{ type: "text", text }],
        finishReason: { unified: "stop", raw: "stop" },
        usage: usageOf(options, text),
        warnings: [],
      };
    },
    async doStream(options) {
      const text = echoOf(options.prompt);
      const parts: Part[] = [
        { type: "stream-start", warnings: [] },
        { type: "text-start", id: "1" },
        // Word by word, as other models stream.
        ...(text.match(/\S+\s*/g) ?? []).map((delta) => ({ type: "text-delta", id: "1", delta }) as const),
        { type: "text-end", id: "1" },
        { type: "finish", finishReason: { unified: "stop", raw: "stop" }, usage: usageOf(options, text) },
      ];
      const stream = new ReadableStream<Part>({
        start(controller) {
          for (const part of parts) controller.enqueue(part);
          controller.close();
        },
      });
      return { stream };
    },
  };
}

/** The answer to a prompt: what its last message of a user says, and what answers here. Pure. */
export function echoOf(prompt: Call["prompt"]): string {
  const last = prompt.findLast(({ role }) => role === "user");
  const parts = typeof last?.content === "string" ? [] : (last?.content ?? []);
  const said = parts
    .flatMap((part) => (part.type === "text" ? [part.text] : []))
    .join("\n")
    .trim();
  const repeated = said.length > MAX_REPEATED ? `${said.slice(0, MAX_REPEATED)}…` : said;
  return `You said: ${repeated || "(no text)"}\n\nThis is echo, a built-in test model: it repeats messages. For real answers, name a framework and set its key.`;
}

/** Four characters are counted as a token. */
function usageOf({ prompt }: Call, text: string): Generated["usage"] {
  const input = Math.ceil(JSON.stringify(prompt).length / 4);
  const output = Math.ceil(text.length / 4);
  return {
    inputTokens: { total: input, noCache: input, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: output, text: output, reasoning: 0 },
  };
}
