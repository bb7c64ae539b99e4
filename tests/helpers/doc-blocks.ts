// Command blocks of the documentation, and a shell that runs those of a page one after the other.
import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Block {
  /** Line of the fence, from 1. */
  line: number;
  /** What stands behind the language: `by:<test file>` where the commands are another test's. */
  info: string;
  text: string;
}

/** Whatever a shell is called: none of them goes unexecuted for its name. */
const SHELLS = new Set(["sh", "bash", "zsh", "shell", "console"]);

/** The fenced blocks of a page that are for a shell. */
export function commandBlocks(markdown: string): Block[] {
  const blocks: Block[] = [];
  let open: (Block & { language: string }) | undefined;
  for (const [index, line] of markdown.split("\n").entries()) {
    const fence = /^(?:```|~~~)\s*(\w*)\s*(.*)$/.exec(line);
    if (open !== undefined && fence !== null) {
      if (SHELLS.has(open.language)) blocks.push({ line: open.line, info: open.info, text: open.text });
      open = undefined;
    } else if (open !== undefined) open.text += `${line}\n`;
    else if (fence !== null)
      open = { line: index + 1, language: fence[1] ?? "", info: fence[2] ?? "", text: "" };
  }
  if (open !== undefined) throw new Error(`the block at line ${open.line} has no end`);
  return blocks;
}

export interface Outcome {
  block: Block;
  ran: boolean;
  output: string;
}

/**
 * Runs blocks in one bash, as a reader does who types them in: variables and functions last from block to block, and
 * the first command that fails ends the page.
 * @param replace what a reader would put in by hand: placeholder → value
 */
export async function runBlocks(
  blocks: readonly Block[],
  options: {
    cwd: string;
    env: NodeJS.ProcessEnv;
    replace: Readonly<Record<string, string>>;
    timeoutMs: number;
  },
): Promise<Outcome[]> {
  const mark = (index: number) => `printf '\\n::done ${index}::\\n'`;
  const script = blocks
    .map(({ text }, index) => `${filled(text, options.replace)}\n${mark(index)}\n`)
    .join("");
  const shell = spawn("bash", ["-euo", "pipefail", "-c", script], {
    cwd: options.cwd,
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: options.timeoutMs,
    killSignal: "SIGKILL",
  });
  let output = "";
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  await once(shell, "close");
  let rest = output;
  return blocks.map((block, index) => {
    const [before, after] = rest.split(`::done ${index}::`, 2);
    if (after !== undefined) rest = after;
    return { block, ran: after !== undefined, output: before ?? "" };
  });
}

function filled(text: string, replace: Readonly<Record<string, string>>): string {
  let result = text;
  for (const [placeholder, value] of Object.entries(replace)) result = result.replaceAll(placeholder, value);
  return result;
}
