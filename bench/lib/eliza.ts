// One elizaOS agent, or the model engine beside it, as the bare runtime runs it against a local stub of its provider.
import { readFileSync } from "node:fs";
import { type RunningAgent, startAgent } from "../../packages/agent-runtime/src/testing/agent.ts";
import { type ProviderStub, startProviderStub } from "../../tests/helpers/providers.ts";

/** As providers count English, about. */
const tokens = (text: string): number => Math.ceil(Buffer.byteLength(text) / 4);

/** A stub that answers in elizaOS's form, or plainly. */
export const startElizaStub = (isEliza = true): Promise<ProviderStub> =>
  startProviderStub(({ messages }) => {
    const answer = "The analytical engine weaves algebraic patterns as the loom weaves flowers and leaves.";
    if (!isEliza) return answer;
    if (/already_known/.test(messages.at(-1)?.text ?? "")) {
      return "<response><thought>It goes well</thought><facts><fact><claim>The person likes looms</claim><type>fact</type><in_bio>false</in_bio><already_known>false</already_known></fact></facts><relationships><relationship></relationship></relationships></response>";
    }
    return `<response><thought>I know this</thought><actions>REPLY</actions><providers></providers><text>${answer}</text></response>`;
  });

/** Starts an agent with a character of middling size. */
export const startPlainAgent = (
  stub: ProviderStub,
  plugins: readonly string[],
  settings: Record<string, unknown> = {},
  agentId = "agent-bench",
): Promise<RunningAgent> =>
  startAgent({
    config: {
      agentId,
      plugins,
      settings,
      character: {
        name: "Ada",
        bio: ["A mathematician", "Wrote the first program"],
        topics: ["engines", "algebra"],
      },
    },
    environment: { ...stub.environment, NODE_OPTIONS: "--max-old-space-size=576" }, // as with 768Mi
  });

export interface Cost {
  /** Calls of text models a message. */
  readonly calls: number;
  readonly embeddings: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** What the messages of one conversation cost, each: the mean from `from` to `to`, four bytes a token. */
export async function costOfMessages(
  isEliza: boolean,
  settings: Record<string, unknown>,
  of: readonly { readonly from: number; readonly to: number }[],
): Promise<Cost[]> {
  await using stub = await startElizaStub(isEliza);
  await using agent = await startPlainAgent(stub, isEliza ? ["@elizaos/plugin-bootstrap"] : [], settings);
  const costs: Cost[] = [];
  let asked: { input: number; output: number }[] = [];
  const { answer } = stub;
  stub.answer = async (question) => {
    const text = (await answer(question)) as string;
    const prompt = `${question.system}${question.messages.map((message) => message.text).join("")}`;
    asked.push({ input: tokens(prompt), output: tokens(text) });
    return text;
  };
  const embedded = () =>
    agent.project.calls.filter(
      ({ rpc, args }) => rpc === "reserve_model_call" && args.call.model === "text_embedding",
    ).length;
  let sent = 0;
  for (const { from, to } of of) {
    while (sent < from) await say(agent, ++sent);
    asked = [];
    const before = embedded();
    while (sent < to) await say(agent, ++sent);
    await new Promise((resolve) => setTimeout(resolve, 3_000)); // embeddings and what looks back come behind the answer
    const count = to - from;
    costs.push({
      calls: asked.length / count,
      embeddings: (embedded() - before) / count,
      inputTokens: asked.reduce((sum, { input }) => sum + input, 0) / count,
      outputTokens: asked.reduce((sum, { output }) => sum + output, 0) / count,
    });
  }
  return costs;
}

/** One message of thirteen words. */
async function say(agent: RunningAgent, number: number): Promise<void> {
  const text = `Message ${number}: what can the analytical engine do that a loom cannot do?`;
  const { status, body } = await agent.say({ text, conversationId: "c1" });
  if (status !== 200) throw new Error(`message ${number}: ${JSON.stringify(body)}`);
}

/** Bytes of the machine that a process uses: shared pages are split among their users. */
export function proportionalBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) * 1024;
}
