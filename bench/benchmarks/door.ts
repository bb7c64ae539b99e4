// What the agent's door costs: a warm message with a key against one of the platform, which needs no question. One replica of the
// real runtime, a provider and a project that answer at once, the two kinds in turns.
import { signed } from "../../packages/agent-runtime/src/signature.ts";
import { startAgent } from "../../packages/agent-runtime/src/testing/agent.ts";
import { MESSAGE_KEY, TEST_KEY } from "../../packages/agent-runtime/src/testing/project.ts";
import { startProviderStub } from "../../tests/helpers/providers.ts";
import type { Benchmark } from "../lib/benchmark.ts";
import { median, ms } from "../lib/stats.ts";

const WARM = 50;
const BODY = JSON.stringify({ text: "hello" });

export const benchmark: Benchmark = {
  title: "a warm message at the agent's address",
  async run({ rounds }) {
    await using stub = await startProviderStub(() => "ok");
    await using agent = await startAgent({ environment: stub.environment });
    const say = async (headers: Record<string, string>): Promise<number> => {
      const started = performance.now();
      const response = await fetch(`${agent.url}/message`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: BODY,
      });
      await response.text();
      if (response.status !== 200) throw new Error(`the agent answered ${response.status}`);
      return performance.now() - started;
    };
    const byKey = () => say({ authorization: `Bearer ${TEST_KEY}` });
    const byPlatform = () => say(signed(MESSAGE_KEY, Buffer.from(BODY), Date.now()));
    for (let n = 0; n < WARM; n += 1) await byKey();
    const keyed: number[] = [];
    const signedOnes: number[] = [];
    for (let n = 0; n < rounds(400); n += 1) {
      keyed.push(await byKey());
      signedOnes.push(await byPlatform());
    }
    const [ours, against] = [median(keyed), median(signedOnes)];
    const asked = agent.project.calls.filter(({ rpc }) => rpc === "judge_caller").length;
    return [
      {
        measure: "POST /message with a key, p50",
        ours: ms(ours),
        against: `${ms(against)} signed by the platform`,
        ratio: ours / against,
        goal: "≤ 2 ms more",
        met: ours - against <= 2,
      },
      { measure: "  questions to the project for them", ours: String(asked) },
    ];
  },
};
