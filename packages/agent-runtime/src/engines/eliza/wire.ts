// Makes settings mean in elizaOS what they mean in the model engine: its plugins have defaults of their own and pass few settings
// on, so what they send to a provider is corrected on its way, in the three providers' forms.
import type { Fitted } from "../model/facts.ts";

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
  const [, write] = FORMS.find(([path]) => path.test(URL.parse(url)?.pathname ?? "")) ?? [];
  if (write === undefined) return text;
  try {
    return JSON.stringify(write(JSON.parse(text) as Body, fitted));
  } catch {
    return text;
  }
}

/**
 * Corrects what goes out through the process's fetch while a model is called.
 * @param current the settings of the call that is being made; undefined outside of one
 */
export function correctCalls(current: () => Fitted | undefined): void {
  const plain = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    const fitted = current();
    if (fitted === undefined || typeof init?.body !== "string") return plain(input, init);
    const url = input instanceof Request ? input.url : String(input);
    return plain(input, { ...init, body: withSettings(url, init.body, fitted) });
  };
}
