// How servers that speak OpenAI's form differ from it when a stream was asked for: some answer one JSON document, with the
// answer or with an error under the status 200, some a web page. The AI SDK reads all of these as streams without an end.
import { AgentError } from "../../errors.ts";

interface Choice {
  readonly index?: number;
  readonly message?: { readonly tool_calls?: readonly object[] | null };
  readonly finish_reason?: string | null;
}

/** The process's fetch, with the answers of such servers brought to the form that was asked for. */
export const compatibleFetch: typeof fetch = async (input, init) => {
  const response = await globalThis.fetch(input, init);
  if (!response.ok) return response;
  const type = response.headers.get("content-type") ?? "";
  if (/\bhtml\b/i.test(type)) {
    await response.body?.cancel();
    const message = "openai answered with a web page; set OPENAI_BASE_URL to the address of its API.";
    throw new AgentError("MODEL_NOT_FOUND", message, {
      cause: Object.assign(new Error("A web page"), { url: response.url }),
    });
  }
  if (!/\bjson\b/i.test(type) || !asksForStream(init?.body)) return response;
  const text = await response.text();
  const body = parse(text);
  if (body?.error !== undefined && body.error !== null) {
    return new Response(text, { status: statusOf(body.error), headers: { "content-type": type } });
  }
  const streamed = Array.isArray(body?.choices)
    ? toStream(body, body.choices as Choice[])
    : `data: ${text.replaceAll(/\s*\n\s*/g, " ")}\n\n`;
  return new Response(streamed, { headers: { "content-type": "text/event-stream" } });
};

const asksForStream = (body: unknown): boolean => typeof body === "string" && parse(body)?.stream === true;

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** The status that an error's own code names. */
function statusOf(error: unknown): number {
  const code = Number((error as { code?: unknown }).code);
  return Number.isInteger(code) && code >= 400 && code <= 599 ? code : 400;
}

/** A whole answer as the events of a stream. */
function toStream(body: Record<string, unknown>, choices: readonly Choice[]): string {
  const chunk = {
    ...body,
    object: "chat.completion.chunk",
    choices: choices.map(({ index = 0, message, finish_reason }) => ({
      index,
      delta: {
        ...message,
        ...(message?.tool_calls && {
          tool_calls: message.tool_calls.map((call, place) => ({ index: place, ...call })),
        }),
      },
      finish_reason: finish_reason ?? null,
    })),
  };
  return `data: ${JSON.stringify(chunk)}\n\ndata: [DONE]\n\n`;
}
