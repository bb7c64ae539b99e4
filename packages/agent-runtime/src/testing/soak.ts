// Sends one elizaOS agent many messages against a local stub and reads what its process and its folder hold meanwhile.
import { randomUUID } from "node:crypto";
import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Answering, startProviderStub } from "../../../../tests/helpers/providers.ts";
import { describe } from "../errors.ts";
import { signed } from "../signature.ts";
import { startAgent } from "./agent.ts";
import { MESSAGE_KEY } from "./project.ts";

export interface SoakOptions {
  /** How many messages in all. */
  readonly messages: number;
  /** How many samples are taken, evenly spread. */
  readonly samples: number;
  /** The agent's own folder. */
  readonly stateDir: string;
  readonly progress?: (line: string) => void;
}

/** What the agent holds after so many messages. */
export interface Sample {
  readonly messages: number;
  readonly resident: number;
  readonly folder: number;
}

export interface Soaked {
  readonly samples: readonly Sample[];
  /** The most that the process held at once, its start included. */
  readonly peak: number;
}

/** Messages of one conversation, until the next one begins. */
const PER_CONVERSATION = 20;
/** How long one message may take. */
const PATIENCE_MS = 600_000;
const TRIES = 10;
/** Conversations under way at once. */
const AT_ONCE = 4;

const isReflection = (prompt: string) => /already_known|in_bio/.test(prompt);

/** Says something different each time, and finds a new fact and a relationship at every reflection. */
function talkative(): Answering {
  let count = 0;
  return ({ messages }) => {
    count += 1;
    const prompt = messages.at(-1)?.text ?? "";
    if (!isReflection(prompt)) {
      return `<response><thought>Thought ${count}: ${filler(count)}</thought><actions>REPLY</actions><providers></providers><text>Answer ${count}. ${filler(count)}</text></response>`;
    }
    return `<response><thought>Reflected ${count}</thought><facts><fact><claim>Fact ${count}: ${filler(count)}</claim><type>fact</type><in_bio>false</in_bio><already_known>false</already_known></fact></facts><relationships><relationship></relationship></relationships></response>`;
  };
}

const filler = (seed: number) =>
  Array.from({ length: 24 }, (_, place) => ((seed + 1) * (place + 7) * 7919).toString(36)).join(" ");

/** Runs it. Half of the messages come from the platform with their history, half from callers at the agent's own address. */
export async function soak({ messages, samples, stateDir, progress }: SoakOptions): Promise<Soaked> {
  await using stub = await startProviderStub(talkative());
  await using agent = await startAgent({
    config: { plugins: ["@elizaos/plugin-bootstrap"], character: { name: "Ada", bio: "A mathematician" } },
    environment: {
      ...stub.environment,
      AGENT_STATE_DIR: stateDir,
      NODE_OPTIONS: "--max-old-space-size=576", // as with 768Mi
      // What is measured is memory: a machine that is busy with other work may take its time.
      AGENT_MESSAGE_TIMEOUT_MS: String(PATIENCE_MS),
    },
  });
  const pid = agent.process.pid as number;
  const taken: Sample[] = [];
  const take = (done: number) => {
    const sample = { messages: done, resident: statusBytes(pid, "VmRSS"), folder: folderBytes(stateDir) };
    taken.push(sample);
    const mb = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
    progress?.(`${done} messages: ${mb(sample.resident)} resident, folder ${mb(sample.folder)}`);
  };
  let sent = 0;
  let done = 0;
  const every = Math.ceil(messages / samples);
  let lost = 0;
  /** Says it again, later each time, where a busy machine refused it. A few that stay refused change no measurement. */
  const say = async (number: number, ask: () => ReturnType<typeof agent.say>): Promise<string> => {
    let why: string | undefined;
    for (let tries = 1; tries <= TRIES; tries += 1) {
      try {
        const { status, body } = await ask();
        if (status === 200) return String(body.reply);
        why = JSON.stringify(body);
        if (status < 500) break;
      } catch (error) {
        why = describe(error);
      }
      if (agent.process.exitCode !== null) break;
      await delay(tries * 500);
    }
    lost += 1;
    progress?.(`message ${number} was refused: ${why}`);
    if (agent.process.exitCode !== null || lost > messages / 100)
      throw new Error(`message ${number}: ${why}`);
    return "";
  };
  const talk = async () => {
    while (sent < messages) {
      const conversationId = randomUUID();
      const isStored = (sent / PER_CONVERSATION) % 2 < 1;
      const history: { id: string; role: string; content: string }[] = [];
      const userId = randomUUID();
      for (let turn = 0; turn < PER_CONVERSATION && sent < messages; turn += 1) {
        sent += 1;
        const text = `Message ${sent}: ${filler(sent * 31)}`;
        if (isStored) {
          const [id, question] = [randomUUID(), randomUUID()];
          const answer = { id, question, word: "0123456789abcdef" };
          const body = JSON.stringify({ text, conversationId, userId, history: history.slice(-40), answer });
          const reply = await say(sent, () =>
            agent.say(body, {
              headers: {
                "content-type": "application/json",
                ...signed(MESSAGE_KEY, Buffer.from(body), Date.now()),
              },
            }),
          );
          if (reply !== "")
            history.push(
              { id: question, role: "user", content: text },
              { id, role: "assistant", content: reply },
            );
        } else {
          await say(sent, () => agent.say({ text, conversationId, userId }));
        }
        done += 1;
        stub.requests.length = 0;
        agent.project.calls.length = 0;
        agent.lines.length = 0;
        if (done % every === 0) take(done);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, talk));
  const peak = statusBytes(pid, "VmHWM");
  agent.process.kill("SIGTERM");
  await agent.exited;
  return { samples: taken, peak };
}

function statusBytes(pid: number, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
}

/** What a folder's files take; one that goes meanwhile counts as nothing. */
export function folderBytes(folder: string): number {
  const size = (entry: Dirent) => {
    const stat = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false });
    return stat?.isFile() ? stat.size : 0;
  };
  return readdirSync(folder, { withFileTypes: true, recursive: true }).reduce(
    (sum, entry) => sum + size(entry),
    0,
  );
}
