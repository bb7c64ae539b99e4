// The retrieval for an answer among 10,000 chunks, with as many of another agent beside them: in SQL, by the runtime's RPC
// through the gateway, and against a ranking of all matches by Postgres's own ts_rank. Words are drawn as languages use them
// (Zipf), questions are words of a chunk among common ones, so that it is known which chunk is right.
import { createHmac } from "node:crypto";
import { createProject } from "../../packages/agent-runtime/src/project.ts";
import type { Benchmark, Row } from "../lib/benchmark.ts";
import { median, ms, quantile } from "../lib/stats.ts";

const CHUNKS = 10_000;
const FILES = 20;
const VOCABULARY = 30_000;
const COMMON = "what is the and of how do I can you tell me about for with when".split(" ");

export const benchmark: Benchmark = {
  title: `retrieval of knowledge, ${CHUNKS} chunks`,
  async run({ stack: shared, rounds, progress }) {
    const { stack, createUser } = await shared();
    const random = generator(7);
    const user = await createUser();
    const make = async (name: string): Promise<string> => {
      const { data, error } = await user.client.from("agents").insert({ name }).select("id").single();
      if (error) throw error;
      return String(data.id);
    };
    const agents = [await make("Knowing"), await make("Beside")] as const;
    progress("filling the index");
    const texts: string[] = [];
    for (const agent of agents) {
      for (let file = 0; file < FILES; file++) {
        const chunks = Array.from({ length: CHUNKS / FILES }, () => chunk(random));
        if (agent === agents[0]) texts.push(...chunks);
        await stack.sql(
          `with file as (insert into public.knowledge_files (agent_id, user_id, path, version, status, chunks, bytes)
             values ($1, $2, $3, '1', 'indexed', $4, 1) returning id)
           insert into private.knowledge_chunks (file_id, place, content, words)
             select file.id, t.n - 1, t.text, private.word_keys($1, private.words_of(t.text))
             from file, unnest($5::text[]) with ordinality t (text, n)`,
          [agent, user.id, `knowledge/${file}.md`, chunks.length, chunks],
        );
      }
    }
    await stack.sql("analyze private.knowledge_chunks");
    await stack.sql(
      `create table private.bench_knowledge as
       select c.file_id, c.place, to_tsvector('english', c.content) as words from private.knowledge_chunks c
       join public.knowledge_files f on f.id = c.file_id where f.agent_id = $1`,
      [agents[0]],
    );
    await stack.sql("create index on private.bench_knowledge using gin (words)");
    await stack.sql("analyze private.bench_knowledge");

    const [row] = await stack.sql<{ key: string }>("select private.message_key($1) as key", [agents[0]]);
    const credential = createHmac("sha256", row?.key ?? "")
      .update("runtime")
      .digest("hex");
    const project = createProject({ url: stack.info.apiUrl, key: stack.info.publishableKey });
    const times = { ours: [] as number[], call: [] as number[], ranked: [] as number[] };
    let right = 0;
    const count = rounds(200);
    for (let round = -10; round < count; round++) {
      const target = Math.floor(random() * texts.length);
      const question = ask(texts[target] ?? "", random);
      const took = async (kind: keyof typeof times, work: () => Promise<unknown>) => {
        const started = performance.now();
        const result = await work();
        if (round >= 0) times[kind].push(performance.now() - started);
        return result;
      };
      const found = (await took("ours", () =>
        stack.sql("select content from private.find_knowledge($1, $2)", [agents[0], question]),
      )) as { content: string }[];
      if (round >= 0 && found.some(({ content }) => content === texts[target])) right++;
      await took("call", () =>
        project.call("runtime_knowledge", { agent_id: agents[0], credential, message_id: null, question }),
      );
      await took("ranked", () =>
        stack.sql(
          `select b.file_id, b.place from private.bench_knowledge b,
             to_tsquery('english', array_to_string(tsvector_to_array(to_tsvector('english', $1)), ' | ')) q
           where b.words @@ q order by ts_rank(b.words, q) desc limit 12`,
          [question],
        ),
      );
    }
    project.close();
    await stack.sql("drop table private.bench_knowledge");
    const p50 = median(times.ours);
    const rows: Row[] = [
      {
        measure: "in SQL, p50",
        ours: ms(p50),
        against: `${ms(median(times.ranked))}, all matches ranked by ts_rank`,
        ratio: p50 / median(times.ranked),
        goal: "≤ 15 ms",
        met: p50 <= 15,
      },
      { measure: "  p95", ours: ms(quantile(times.ours, 0.95)), against: ms(quantile(times.ranked, 0.95)) },
      { measure: "by a runtime's call, p50", ours: ms(median(times.call)) },
      {
        measure: "the chunk asked for is given",
        ours: `${right} of ${count}`,
        goal: "≥ 80 %",
        met: right >= 0.8 * count,
      },
    ];
    return rows;
  },
};

/** Numbers from 0 to 1, the same in each run (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A word of the vocabulary: the nth is used as often as 1/n. */
const word = (random: () => number): string => `w${Math.floor(VOCABULARY ** random()).toString(36)}x`;

const chunk = (random: () => number): string =>
  Array.from({ length: 150 }, (_, n) =>
    n % 3 === 0 ? COMMON[Math.floor(random() * COMMON.length)] : word(random),
  ).join(" ");

/** Eight words of a chunk, rare and frequent, among common ones. */
function ask(text: string, random: () => number): string {
  const words = text.split(" ");
  const picked = Array.from({ length: 8 }, () => words[Math.floor(random() * words.length)]);
  return picked.map((one) => `${COMMON[Math.floor(random() * COMMON.length)]} ${one}`).join(" ");
}
