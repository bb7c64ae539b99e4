// A provider's answer as bytes, to be sent back changed or cut: what a broken stream looks like.
import { Buffer } from "node:buffer";
import { type Provider, startProviderStub } from "./providers.ts";

/** What the recorded answers say: several pieces, and letters of more than one byte. */
export const SAID = "Grüße, 世界!";

const PATHS: Record<Provider, (streams: boolean) => string> = {
  openai: () => "/openai/v1/chat/completions",
  anthropic: () => "/anthropic/v1/messages",
  google: (streams) => `/google/v1beta/models/g:${streams ? "streamGenerateContent" : "generateContent"}`,
};

/** How each provider says that its answer is at its end; what stands there for an answer that was filtered, or failed. */
export const ENDINGS: Record<Provider, { whole: string; filtered: string; odd: string }> = {
  openai: {
    whole: '"finish_reason":"stop"',
    filtered: '"finish_reason":"content_filter"',
    odd: '"finish_reason":"error"',
  },
  anthropic: {
    whole: '"stop_reason":"end_turn"',
    filtered: '"stop_reason":"refusal"',
    odd: '"stop_reason":"unheard_of"',
  },
  google: {
    whole: '"finishReason":"STOP"',
    filtered: '"finishReason":"SAFETY"',
    odd: '"finishReason":"OTHER"',
  },
};

/** Records an answer of {@link SAID}, streamed or as one JSON document. */
export async function recordAnswer(provider: Provider, streams: boolean): Promise<Buffer> {
  await using stub = await startProviderStub(() => SAID);
  const response = await fetch(`${stub.url}${PATHS[provider](streams)}`, {
    method: "POST",
    body: JSON.stringify({ model: "m", stream: streams, messages: [] }),
  });
  return Buffer.from(await response.arrayBuffer());
}

/** A stub that sends a recording up to the byte that the user's message names. */
export const cutStub = (recording: Uint8Array) =>
  startProviderStub(({ messages }) => ({ raw: recording.subarray(0, Number(messages.at(-1)?.text)) }));

/**
 * Asks once for every length of the recording, some at a time.
 * @returns what each came to: its text, or the error's code
 */
export async function atEveryByte(
  recording: Uint8Array,
  ask: (length: string) => Promise<string>,
): Promise<string[]> {
  const outcomes: string[] = [];
  let next = 1;
  const walk = async () => {
    for (let length = next++; length <= recording.length; length = next++) {
      outcomes[length] = await ask(String(length)).catch((error) => String(error.code ?? error));
    }
  };
  await Promise.all(Array.from({ length: 16 }, walk));
  return outcomes;
}
