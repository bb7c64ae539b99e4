// P5: GET and POST /api/agents with 50 agents, against @elizaos/server. Where the peer is installed (bench/peer) both are
// measured side by side in this run; else our figures stand beside those recorded on the reference machine.
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { type Peer, RECORDED, startPeer } from "../lib/peer.ts";
import { median, ms } from "../lib/stats.ts";

const AGENTS = 50;

export const benchmark: Benchmark = {
  title: `/api/agents with ${AGENTS} agents, against @elizaos/server`,
  async run({ stack, progress, rounds }) {
    const bench = await stack();
    const user = await bench.createUser();
    await bench.define(user, AGENTS);
    const reads: number[] = [];
    const creates: number[] = [];
    const definitions: number[] = [];
    const read = async () => (await bench.json(user, "GET", "/api/agents?limit=50")).took;
    for (let time = 0; time < 20; time++) await read();
    for (let time = 0; time < rounds(200); time++) reads.push(await read());
    progress(`GET measured ${reads.length} times`);
    for (let time = 0; time < rounds(15); time++) {
      // Each is left to finish before the next: a create is measured, not the starts of those before it.
      const { agentId, answered } = await bench.launch(user);
      creates.push(answered);
      await bench.remove(user, agentId);
    }
    progress(`POST measured ${creates.length} times`);
    for (let time = 0; time < rounds(30); time++) {
      const body = { user_id: user.id, name: `definition-${time}`, framework: "openai" };
      definitions.push((await bench.json(user, "POST", "/rest/v1/agents", body)).took);
    }
    const peer = await startPeer(AGENTS, progress);
    const figures = peer ? await measurePeer(peer, rounds(200), rounds(15)) : RECORDED;
    await peer?.stop();
    const name = peer ? "peer" : "peer, recorded";
    const row = (measure: string, ours: number, theirs: number): Row => ({
      measure,
      ours: ms(ours),
      against: `${ms(theirs)} ${name}`,
      ratio: ours / theirs,
      goal: "< 1×",
      met: ours < theirs,
    });
    return [
      row(`GET /api/agents, p50 of ${reads.length}`, median(reads), figures.read),
      row(`POST /api/agents (deploys too), p50 of ${creates.length}`, median(creates), figures.create),
      {
        measure: `POST /rest/v1/agents (defines), p50 of ${definitions.length}`,
        ours: ms(median(definitions)),
      },
    ];
  },
};

async function measurePeer(
  peer: Peer,
  reads: number,
  creates: number,
): Promise<{ read: number; create: number }> {
  for (let time = 0; time < 20; time++) await peer.read();
  const read: number[] = [];
  const create: number[] = [];
  for (let time = 0; time < reads; time++) read.push(await peer.read());
  for (let time = 0; time < creates; time++) create.push(await peer.create());
  return { read: median(read), create: median(create) };
}
