// What the SDK adds to a call: getStatus and list against the same request by plain fetch, one at a time, in turn.
import { AgentLaunchpadClient } from "@agent-launchpad/sdk";
import { createClient } from "@supabase/supabase-js";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { median, ms } from "../lib/stats.ts";

const CALLS = 100;

export const benchmark: Benchmark = {
  title: "a call of the SDK against plain fetch of the same address",
  async run({ stack, progress, rounds }) {
    const bench = await stack();
    const user = await bench.createUser();
    await bench.define(user, 20);
    const { apiUrl, publishableKey } = bench.stack.info;
    // As an application has it: the token comes out of a session, at every call.
    const supabaseClient = createClient(apiUrl, publishableKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    });
    const session = { access_token: user.token, refresh_token: user.refreshToken };
    const { error } = await supabaseClient.auth.setSession(session);
    if (error) throw error;
    const client = new AgentLaunchpadClient({ supabaseClient, baseUrl: apiUrl });
    const { agentId } = (await client.agents.list()).agents[0] ?? {};
    const headers = bench.headers(user);
    const plain = async (path: string) => {
      const response = await fetch(`${apiUrl}${path}`, { headers });
      if (!response.ok) throw new Error(`${path}: ${response.status}`);
      await response.json();
    };
    const pairs: [name: string, ours: () => PromiseLike<unknown>, theirs: () => Promise<unknown>][] = [
      [
        "agents.getStatus",
        () => client.agents.getStatus(String(agentId)),
        () => plain(`/api/agents/${agentId}/status`),
      ],
      ["agents.list of 20", () => client.agents.list(), () => plain("/api/agents?limit=20&offset=0")],
    ];
    const rows: Row[] = [];
    for (const [name, ours, theirs] of pairs) {
      const ratios: number[] = [];
      const all = { ours: [] as number[], theirs: [] as number[] };
      for (let round = 0; round <= rounds(7); round++) {
        const times = { ours: [] as number[], theirs: [] as number[] };
        for (let call = 0; call < CALLS; call++) {
          // Call by call, each first in every other: what the machine does meanwhile hits both.
          const order = call % 2 === 0 ? (["ours", "theirs"] as const) : (["theirs", "ours"] as const);
          for (const side of order) {
            const began = performance.now();
            await (side === "ours" ? ours : theirs)();
            times[side].push(performance.now() - began);
          }
        }
        if (round === 0) continue; // it warms both up
        ratios.push(median(times.ours) / median(times.theirs));
        all.ours.push(...times.ours);
        all.theirs.push(...times.theirs);
        progress(`${name}, round ${round}: ${ratios.at(-1)?.toFixed(3)}×`);
      }
      rows.push({
        measure: `${name}, p50`,
        ours: ms(median(all.ours)),
        against: `${ms(median(all.theirs))} fetch`,
        ratio: median(ratios),
        goal: "≤ 1.05×",
        met: median(ratios) <= 1.05,
      });
    }
    return rows;
  },
};
