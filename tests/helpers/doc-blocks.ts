// Command blocks of the documentation, and a shell that runs those of a page one after the other.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { tree } from "./processes.ts";

const root = join(import.meta.dirname, "../..");

export interface Block {
  /** Line of the fence, from 1. */
  line: number;
  /** What stands behind the language: a mark (see `markOf`), or nothing. */
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

/** Who runs a block: the test of the pages themselves, a test that the block names, or nobody, for a reason. */
export type Mark = { by: "pages" } | { by: "test"; file: string } | { by: "nobody"; reason: string };

/**
 * Reads what stands behind a fence: nothing, `by:<test file>` or `not-run:<reason>`.
 * @throws {Error} for anything else
 */
export function markOf({ info, line }: Pick<Block, "info" | "line">): Mark {
  if (info === "") return { by: "pages" };
  const [, kind, what = ""] = /^(by|not-run):(\S.*)$/.exec(info) ?? [];
  if (kind === "by" && /^\S+\.test\.ts$/.test(what)) return { by: "test", file: what };
  if (kind === "not-run") return { by: "nobody", reason: what };
  throw new Error(`line ${line}: "${info}" is neither by:<file>.test.ts nor not-run:<reason>`);
}

/** The pages whose blocks a test runs: those that its source gives to `runMarked`. */
export function claimsOf(source: string): string[] {
  const code = source.replaceAll(/^\s*(\/\/|\/?\*).*$/gm, "");
  return [...code.matchAll(/\brunMarked\(\s*"([^"]+)"/g)].map(([, page]) => page as string);
}

/**
 * Runs the blocks of a page that are marked as a test's, in their order, in one shell.
 * @param page its path below the root
 * @param test the file of the test: `import.meta.filename`
 * @param options as of `runBlocks`; each placeholder must stand in one of the blocks
 * @throws {Error} when the page has no block for the test, or a command fails: with what was said
 */
export async function runMarked(page: string, test: string, options: RunOptions): Promise<Outcome[]> {
  const file = relative(root, test);
  const blocks = commandBlocks(await readFile(join(root, page), "utf8")).filter((block) => {
    const mark = markOf(block);
    return mark.by === "test" && mark.file === file;
  });
  if (blocks.length === 0) throw new Error(`${page} has no block that is marked by:${file}`);
  for (const placeholder of Object.keys(options.replace)) {
    if (!blocks.some(({ text }) => text.includes(placeholder)))
      throw new Error(`"${placeholder}" stands in no block of ${page} that is marked by:${file}`);
  }
  const outcomes = await runBlocks(blocks, options);
  for (const { block, ran, output } of outcomes)
    if (!ran) throw new Error(`${page}:${block.line} failed:\n${block.text}\n${output.slice(-4000)}`);
  return outcomes;
}

/**
 * The lines that stand for a command which runs until it is ended: it runs in the background, in a group of its own, until
 * the shell ends, and the shell goes on once it is ready.
 * @param command the command, with what a reader would put in
 * @param ready a pattern (grep -E) of what it says once it is ready
 * @param log the file for what it says
 */
export function inBackground(command: string, ready: string, log: string): string {
  return [
    // A group of its own, so that what the command starts ends with it.
    `: > "${log}"; set -m; ${command} > "${log}" 2>&1 < /dev/null & set +m`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own
    'background="${background:-} $!"',
    "trap 'for group in $background; do kill -- -$group 2>/dev/null; wait $group; done; :' EXIT",
    `until grep -qE '${ready}' "${log}"; do kill -0 $! || { cat "${log}"; exit 1; }; sleep 0.1; done`,
  ].join("\n");
}

export interface Outcome {
  block: Block;
  ran: boolean;
  output: string;
}

export interface RunOptions {
  /** Default: bash. */
  shell?: "bash" | "zsh";
  cwd: string;
  env: NodeJS.ProcessEnv;
  /** What a reader would put in by hand: placeholder → value. */
  replace: Readonly<Record<string, string>>;
  timeoutMs: number;
}

/**
 * Runs blocks in one shell, as a reader does who types them in: variables and functions last from block to block, and
 * the first command that fails ends the page.
 */
export async function runBlocks(blocks: readonly Block[], options: RunOptions): Promise<Outcome[]> {
  const mark = (index: number) => `printf '\\n::done ${index}::\\n'`;
  const script = blocks
    .map(({ text }, index) => `${filled(text, options.replace)}\n${mark(index)}\n`)
    .join("");
  const shell = spawn(options.shell ?? "bash", ["-euo", "pipefail", "-c", script], {
    cwd: options.cwd,
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  // All of it: what the shell waits for, and what it keeps in the background.
  const timer = setTimeout(() => {
    for (const { pid } of tree(shell.pid as number)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // it ended with its parent
      }
    }
  }, options.timeoutMs);
  let output = "";
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  await once(shell, "close").finally(() => clearTimeout(timer));
  let rest = output;
  return blocks.map((block, index) => {
    const [before, after] = rest.split(`::done ${index}::`, 2);
    if (after !== undefined) rest = after;
    return { block, ran: after !== undefined, output: before ?? "" };
  });
}

function filled(text: string, replace: Readonly<Record<string, string>>): string {
  let result = text;
  for (const [placeholder, value] of Object.entries(replace))
    result = result.replaceAll(placeholder, () => value);
  return result;
}
