// P5: GET and POST /api/agents with 50 agents, against @elizaos/server. Where the peer is installed (bench/peer) both are
// asked in turn, request by request; else our figures stand beside those recorded on the reference machine.
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { RECORDED, startPeer } from "../lib/peer.ts";
import { median, ms } from "../lib/stats.ts";

const AGENTS = 50;
const WARM_UP = 10;

export const benchmark: Benchmark = {
  title: `/api/agents with ${AGENTS} agents, against @elizaos/server`,
  async run({ stack, progress, rounds }) {
    const bench = await stack();
    const user = await bench.createUser();
    await bench.define(user, AGENTS);
    const peer = await startPeer(AGENTS, progress);
    try {
      const read = await inTurn(
        rounds(200),
        async () => (await bench.json(user, "GET", "/api/agents?limit=50")).took,
        peer?.read,
      );
      progress(`GET measured ${read.ours.length} times`);
      let agentId = "";
      const create = await inTurn(
        rounds(15),
        async () => {
          const launched = await bench.launch(user);
          agentId = launched.agentId;
          return launched.answered;
        },
        peer?.create,
        // Each is left to finish before the next: a create is measured, not the starts and ends of those before it.
        () => bench.remove(user, agentId),
      );
      progress(`POST measured ${create.ours.length} times`);
      const define = await inTurn(rounds(30), async () => {
        const body = { user_id: user.id, name: "definition", framework: "openai" };
        return (await bench.json(user, "POST", "/rest/v1/agents", body)).took;
      });
      return [
        toRow("GET /api/agents, p50", read, RECORDED.read),
        toRow("POST /api/agents (deploys too), p50", create, RECORDED.create),
        {
          measure: `POST /rest/v1/agents (defines), p50 of ${define.ours.length}`,
          ours: ms(median(define.ours)),
        },
      ];
    } finally {
      await peer?.stop();
    }
  },
};

interface Turns {
  readonly ours: number[];
  readonly theirs: number[];
}

/**
 * Asks ours and theirs in turn: what the machine does meanwhile hits both. Ten turns before those that count: fewer would
 * measure connections to Postgres that plan a launch for the first time.
 */
async function inTurn(
  count: number,
  ours: () => Promise<number>,
  theirs?: () => Promise<number>,
  after?: () => Promise<void>,
): Promise<Turns> {
  const measured: Turns = { ours: [], theirs: [] };
  for (let turn = -WARM_UP; turn < count; turn++) {
    const mine = await ours();
    await after?.();
    const peers = await theirs?.();
    if (turn < 0) continue;
    measured.ours.push(mine);
    if (peers !== undefined) measured.theirs.push(peers);
  }
  return measured;
}

function toRow(measure: string, { ours, theirs }: Turns, recorded: number): Row {
  const mine = median(ours);
  const peers = theirs.length > 0 ? median(theirs) : recorded;
  return {
    measure: `${measure} of ${ours.length}`,
    ours: ms(mine),
    against: `${ms(peers)} peer${theirs.length > 0 ? "" : ", recorded"}`,
    ratio: mine / peers,
    goal: "≤ 1×",
    met: mine <= peers,
  };
}
