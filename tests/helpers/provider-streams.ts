// The providers' streaming wire formats (both of OpenAI): server-sent events as each of them sends them.
import type { ServerResponse } from "node:http";
import type { Asked } from "./providers.ts";

export interface ToolCall {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
}

/** What to stream: pieces of text, calls of tools, or a refusal; `breakOff` ends the connection before the end. */
export interface Streamed {
  readonly pieces: AsyncIterable<string> | Iterable<string>;
  readonly toolCalls?: readonly ToolCall[];
  readonly refused?: boolean;
  readonly breakOff?: boolean;
}

const USAGE = { input: 11, output: 7 };

/** Streams an answer in the asked provider's form. Ends quietly when the caller goes away. */
export async function stream(response: ServerResponse, asked: Asked, answer: Streamed): Promise<void> {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (event: string | undefined, data: unknown) => {
    if (response.destroyed) return;
    response.write(
      `${event === undefined ? "" : `event: ${event}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`,
    );
  };
  await (asked.path.endsWith("/responses") ? responses : writers[asked.provider])(send, asked, answer);
  if (!answer.breakOff) {
    response.end();
    return;
  }
  // What was written must be on its way before the connection goes, or the client would not know of an answer at all.
  await new Promise((resolve) => setTimeout(resolve, 30));
  response.destroy();
}

type Send = (event: string | undefined, data: unknown) => void;
type Writer = (send: Send, asked: Asked, answer: Streamed) => Promise<void>;

const responses: Writer = async (send, { model }, answer) => {
  const event = (type: string, rest: object) => send(type, { type, ...rest });
  const head = { id: "resp_stub", created_at: 1_700_000_000, model };
  event("response.created", { response: { ...head, status: "in_progress" } });
  const item = { id: "msg_stub", type: "message", role: "assistant" };
  const at = { item_id: item.id, output_index: 0, content_index: 0 };
  event("response.output_item.added", { output_index: 0, item: { ...item, content: [] } });
  let said = "";
  for await (const delta of answer.pieces) {
    said += delta;
    event("response.output_text.delta", { ...at, delta });
  }
  if (answer.breakOff) return;
  const content = [{ type: "output_text", text: said, annotations: [] }];
  event("response.output_item.done", { output_index: 0, item: { ...item, content } });
  for (const [index, call] of (answer.toolCalls ?? []).entries()) {
    const output_index = index + 1;
    const made = { id: `fc_${index}`, type: "function_call", call_id: `call_${index}`, name: call.name };
    event("response.output_item.added", { output_index, item: { ...made, arguments: "" } });
    const args = JSON.stringify(call.arguments);
    const done = { ...made, arguments: args, status: "completed" };
    event("response.output_item.done", { output_index, item: done });
  }
  const filtered = { incomplete_details: { reason: "content_filter" } };
  event(answer.refused ? "response.incomplete" : "response.completed", {
    response: {
      ...head,
      ...(answer.refused && filtered),
      usage: { input_tokens: USAGE.input, output_tokens: USAGE.output },
    },
  });
};

const writers: Record<Asked["provider"], Writer> = {
  async openai(send, { model }, answer) {
    const chunk = (delta: object, finish: string | null = null) =>
      send(undefined, {
        id: "chatcmpl-stub",
        object: "chat.completion.chunk",
        created: 1_700_000_000,
        model,
        choices: [{ index: 0, delta, finish_reason: finish }],
      });
    chunk({ role: "assistant", content: "" });
    for await (const content of answer.pieces) chunk({ content });
    if (answer.breakOff) return;
    for (const [index, call] of (answer.toolCalls ?? []).entries()) {
      chunk({
        tool_calls: [
          {
            index,
            id: `call_${index}`,
            type: "function",
            function: { name: call.name, arguments: JSON.stringify(call.arguments) },
          },
        ],
      });
    }
    chunk({}, answer.refused ? "content_filter" : answer.toolCalls ? "tool_calls" : "stop");
    send(undefined, {
      id: "chatcmpl-stub",
      object: "chat.completion.chunk",
      created: 1_700_000_000,
      model,
      choices: [],
      usage: {
        prompt_tokens: USAGE.input,
        completion_tokens: USAGE.output,
        total_tokens: USAGE.input + USAGE.output,
      },
    });
    send(undefined, "[DONE]");
  },

  async anthropic(send, { model }, answer) {
    const event = (type: string, rest: object) => send(type, { type, ...rest });
    event("message_start", {
      message: {
        id: "msg_stub",
        type: "message",
        role: "assistant",
        model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { input_tokens: USAGE.input, output_tokens: 1 },
      },
    });
    let index = 0;
    event("content_block_start", { index, content_block: { type: "text", text: "" } });
    for await (const text of answer.pieces) {
      event("content_block_delta", { index, delta: { type: "text_delta", text } });
    }
    if (answer.breakOff) return;
    event("content_block_stop", { index });
    for (const call of answer.toolCalls ?? []) {
      index += 1;
      event("content_block_start", {
        index,
        content_block: { type: "tool_use", id: `toolu_${index}`, name: call.name, input: {} },
      });
      event("content_block_delta", {
        index,
        delta: { type: "input_json_delta", partial_json: JSON.stringify(call.arguments) },
      });
      event("content_block_stop", { index });
    }
    const reason = answer.refused ? "refusal" : answer.toolCalls ? "tool_use" : "end_turn";
    event("message_delta", {
      delta: { stop_reason: reason, stop_sequence: null },
      usage: { output_tokens: USAGE.output },
    });
    event("message_stop", {});
  },

  async google(send, { model }, answer) {
    const chunk = (parts: object[], finishReason?: string) =>
      send(undefined, {
        candidates: [
          {
            content: { role: "model", parts },
            index: 0,
            ...(finishReason !== undefined && { finishReason }),
          },
        ],
        usageMetadata: {
          promptTokenCount: USAGE.input,
          candidatesTokenCount: USAGE.output,
          totalTokenCount: USAGE.input + USAGE.output,
        },
        modelVersion: model,
        responseId: "stub",
      });
    for await (const text of answer.pieces) chunk([{ text }]);
    if (answer.breakOff) return;
    const calls = (answer.toolCalls ?? []).map((call) => ({
      functionCall: { name: call.name, args: call.arguments },
    }));
    if (calls.length > 0) chunk(calls, "STOP");
    else chunk([{ text: "" }], answer.refused ? "SAFETY" : "STOP");
  },
};
