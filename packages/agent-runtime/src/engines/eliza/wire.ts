// Makes settings mean in elizaOS what they mean in the model engine: its plugins have defaults of their own and pass few settings
// on, so what they send to a provider is corrected on its way, in the three providers'
// forms. How the answer ended is read on its way back.
import type { Fitted } from "../model/facts.ts";
import { type EndOfAnswer, endOfAnswer } from "./endings.ts";

type Body = Record<string, unknown>;

/** Which calls are a model's answer, and how each form writes the settings. */
const FORMS: readonly [path: RegExp, write: (body: Body, fitted: Fitted) => Body][] = [
  [
    /\/responses$/,
    (body, { call, withoutThinking }) => ({
      ...body,
      temperature: call.temperature,
      top_p: call.topP,
      store: false,
      ...(withoutThinking && { reasoning: { effort: "none" } }),
    }),
  ],
  [
    /\/chat\/completions$/,
    (body, { call, withoutThinking }) => ({
      ...body,
      temperature: call.temperature,
      top_p: call.topP,
      presence_penalty: call.presencePenalty,
      frequency_penalty: call.frequencyPenalty,
      ...(withoutThinking && { reasoning_effort: "none" }),
    }),
  ],
  [/\/messages$/, (body, { call }) => ({ ...body, temperature: call.temperature, top_p: call.topP })],
  [
    /:(generateContent|streamGenerateContent)$/,
    (body, { call }) => ({
      ...body,
      generationConfig: {
        ...(body.generationConfig as Body | undefined),
        temperature: call.temperature,
        topP: call.topP,
        topK: undefined,
        presencePenalty: call.presencePenalty,
        frequencyPenalty: call.frequencyPenalty,
      },
    }),
  ],
];

/**
 * A request's body with the settings as they were fitted; anything else is left as it is. Pure.
 * @param url where it goes
 * @param text the body, as JSON
 */
export function withSettings(url: string, text: string, fitted: Fitted): string {
  const [, write] = formOf(url) ?? [];
  if (write === undefined) return text;
  try {
    return JSON.stringify(write(JSON.parse(text) as Body, fitted));
  } catch {
    return text;
  }
}

/** A call of a model, as it is seen on the wire. */
export interface CallOnWire {
  /** The settings that it goes out with. */
  readonly fitted: Fitted | undefined;
  /** How its last answer ended, where that was one JSON document. */
  end: Promise<EndOfAnswer | undefined> | undefined;
}

/**
 * Corrects what goes out through the process's fetch while a model is called, and notes how its answer ends.
 * @param current the call that is being made; undefined outside of one
 */
export function correctCalls(current: () => CallOnWire | undefined): void {
  const plain = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const call = current();
    const { fitted } = call ?? {};
    const url = input instanceof Request ? input.url : String(input);
    if (call === undefined || fitted === undefined || typeof init?.body !== "string" || !isAnswer(url)) {
      return plain(input, init);
    }
    const response = await plain(input, { ...init, body: withSettings(url, init.body, fitted) });
    const isJson = response.ok && /[/+]json/.test(response.headers.get("content-type") ?? "");
    call.end = isJson
      ? response
          .clone()
          .json()
          .then(endOfAnswer, () => undefined)
      : undefined;
    return response;
  };
}

const formOf = (url: string) => FORMS.find(([path]) => path.test(URL.parse(url)?.pathname ?? ""));
const isAnswer = (url: string): boolean => formOf(url) !== undefined;
