/** Takes waiting files in turn, reads and cuts them, and brings their chunks in parts, until none waits. */
import { readCharacter } from "../../../packages/agent-runtime/src/character.ts";
import { type Chunk, cut } from "./cut.ts";
import type { Database, Job, Outcome } from "./database.ts";
import { inPlaces } from "./in-places.ts";
import { type Read, readFile } from "./read.ts";

/** As the database has it (private.knowledge_limit); it refuses larger files unread. */
const MAX_BYTES = 10 * 1024 * 1024;
/** Files at once: a small one need not wait for a large one. */
const PLACES = 3;
/** Chunks in one call. */
const PART = 200;

export type Log = (
  level: "INFO" | "WARN" | "ERROR",
  message: string,
  facts?: Record<string, unknown>,
) => void;

export class Indexer {
  readonly #database: Database;
  readonly #log: Log;
  readonly #work = inPlaces<Job>({
    places: PLACES,
    claim: (count) => this.#database.claim(count),
    carryOut: (job) => this.#index(job),
    failed: (cause) => this.#log("ERROR", "Files cannot be claimed", { cause: String(cause) }),
  });

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  /** Looks for work; returns when all it found, here or meanwhile, is done. Never throws. */
  async wake(): Promise<void> {
    await this.#work.wake();
  }

  async #index(job: Job): Promise<void> {
    const started = performance.now();
    const facts = { agentId: job.agentId, path: job.path };
    try {
      const read = await this.#read(job);
      if ("refused" in read) return await this.#database.finish(job, { refused: read.refused });
      const chunks = await this.#bring(job, cut(read.text, titleOf(job, read.text)));
      if (chunks === undefined) return; // it changed meanwhile, or the database refused it
      await this.#database.finish(job, {});
      const milliseconds = Math.round(performance.now() - started);
      this.#log("INFO", "Indexed", { ...facts, chunks, milliseconds });
    } catch (error) {
      this.#log("WARN", "A file could not be read; it is tried again", { ...facts, cause: String(error) });
      await this.#giveBack(job, { retry: true });
    }
  }

  async #read(job: Job): Promise<Read> {
    // Each fact is a paragraph.
    if (job.character) return { text: readCharacter(job.character).knowledge.join("\n\n") };
    return await readFile(await this.#database.download(job, MAX_BYTES), job.mimetype ?? "");
  }

  /** Brings the chunks; returns how many, undefined where they are no longer wanted. */
  async #bring(job: Job, chunks: Iterable<Chunk>): Promise<number | undefined> {
    let first = 0;
    let part: Chunk[] = [];
    const send = async () => {
      const accepted = await this.#database.add(job, first, part);
      first += part.length;
      part = [];
      return accepted;
    };
    for (const chunk of chunks) {
      part.push(chunk);
      if (part.length === PART && !(await send())) return undefined;
    }
    if (part.length > 0 && !(await send())) return undefined;
    return first;
  }

  /** The lease would end on its own; then the file is read later. */
  async #giveBack(job: Job, outcome: Outcome): Promise<void> {
    await this.#database.finish(job, outcome).catch(() => undefined);
  }
}

/** A table's first line says what the columns are, wherever it is cut. */
function titleOf({ path, mimetype }: Job, text: string): string | undefined {
  if (mimetype !== "text/csv" && !/\.(csv|tsv)$/i.test(path)) return undefined;
  return text.trimStart().split(/[\r\n]/, 1)[0];
}
