import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { describe, test } from "vitest";
import { offeredOf } from "./completion/agents.ts";
import { candidates } from "./completion/candidates.ts";
import { scripts } from "./completion/scripts.ts";
import { exitCodes } from "./exit-codes.ts";
import { createProgram } from "./program.ts";
import { VERSION } from "./version.ts";

const { stdout, stderr } = process;
const program = createProgram({ env: {}, stdout, stderr, signal: new AbortController().signal }, () => {});
const home = join(import.meta.dirname, "..");

const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
const words = (...typed: string[]) => candidates(program, typed).offered.map(({ word }) => word);

/** `fleet rollout status`: a command with those that it is under. */
function pathOf(command: Command): string {
  const { parent } = command;
  return parent === null || parent === program ? command.name() : `${pathOf(parent)} ${command.name()}`;
}

describe("the command line", () => {
  test("has every command at the top that it has below `agents`", () => {
    const agents = program.commands.find((command) => command.name() === "agents");
    const names = agents?.commands.map((command) => command.name()) ?? [];
    assert.ok(names.length >= 15);
    const top = program.commands.map((command) => command.name());
    for (const name of names) assert.ok(top.includes(name), name);
  });

  test("describes every command and option, in lower case and without a full stop", () => {
    for (const command of all(program).filter((each) => each !== program)) {
      const described = [command.description(), ...command.options.map(({ description }) => description)];
      for (const text of described)
        assert.match(text, /^(?![A-Z][a-z]).*[^.]$/, `${command.name()}: ${text}`);
    }
  });

  test("no option of a command is taken by a global one", () => {
    const global = program.options.flatMap(({ long, short }) => [long, short]).filter(Boolean);
    for (const command of all(program).filter((each) => each !== program))
      for (const { long, short } of command.options)
        assert.ok(!global.includes(long) && !global.includes(short), `${command.name()} ${long}`);
  });

  for (const [typed, meant] of [
    ["get ada", "status"],
    ["rm ada", "delete"],
    ["new", "create"],
    ["agents describe ada", "status"],
    ["secrets delete ada KEY", "unset"],
    ["keys rm", "revoke"],
    ["creat", "create"],
  ] as const)
    test(`suggests ${meant} for \`${typed}\``, async () => {
      let said = "";
      const streams = {
        stdout,
        stderr: { write: (text: string) => (said += text) } as unknown as typeof stderr,
      };
      const { signal } = new AbortController();
      const mistyped = createProgram({ env: {}, ...streams, signal }, () => {});
      await assert.rejects(mistyped.parseAsync(typed.split(" "), { from: "user" }));
      const word = typed.split(" ").find((each) => said.includes(`'${each}'`));
      assert.equal(
        said,
        `error: unknown command '${word}'; did you mean ${meant}? Add \`--help\` to see the usage.\n`,
      );
    });

  test("its version is the package's", () => {
    const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as { version: string };
    assert.equal(VERSION, version);
  });

  test("the README lists every exit code and every command", () => {
    const readme = readFileSync(join(home, "README.md"), "utf8");
    for (const { code, meaning } of Object.values(exitCodes))
      assert.ok(readme.includes(`| ${code} | ${meaning} |`), `${code}`);
    for (const command of all(program)) {
      if (command.commands.length > 0) continue;
      const path = pathOf(command);
      if (!path.startsWith("agents ")) assert.ok(readme.includes(`\`${path}`), path);
    }
  });
});

describe("completion", () => {
  test("offers commands, sub-commands, options and choices", () => {
    assert.deepEqual(words("sta"), ["status", "start"]);
    assert.deepEqual(words("secrets", ""), ["set", "list", "unset"]);
    assert.deepEqual(words("logs", "--le"), ["--level"]);
    assert.deepEqual(words("logs", "my-bot", "--level", "w"), ["warn"]);
    assert.deepEqual(words("agents", "rol"), ["rollback"]);
    assert.deepEqual(words("--profile", "work", "who"), ["whoami"]);
    assert.deepEqual(words("--profile=work", "who"), ["whoami"]);
    assert.deepEqual(words("completion", ""), ["bash", "zsh", "fish"]);
    assert.ok(words("status", "--").includes("--json"));
    assert.ok(!words("--").includes("--api-url"));
  });

  test("leaves files to the shell where a file is wanted, and nowhere else", () => {
    assert.equal(candidates(program, ["create", "-f", ""]).rest, "files");
    assert.equal(candidates(program, ["import", ""]).rest, "files");
    assert.equal(candidates(program, ["import", "a.json", ""]).rest, "nothing");
    assert.equal(candidates(program, ["list", ""]).rest, "nothing");
  });

  test("asks the project where an agent is wanted, with the options so far, and nowhere else", () => {
    for (const line of [
      ["status", ""],
      ["agents", "logs", "-f", "a"],
      ["secrets", "set", ""],
      ["chat", ""],
    ])
      assert.equal(candidates(program, line).rest, "agents", line.join(" "));
    for (const line of [
      ["status", "my-bot", ""],
      ["scale", "my-bot", ""],
      ["chat", "my-bot", "hello", ""],
      ["secrets", "list", "--account", ""],
      ["secrets", ""],
      ["logs", "--level", ""],
      ["logs", "--"],
      ["agents", ""],
    ])
      assert.equal(candidates(program, line).rest, "nothing", line.join(" "));
    const { options } = candidates(program, ["--url=http://a?b=c", "--profile", "work", "logs", "-f", ""]);
    assert.deepEqual(options, { url: "http://a?b=c", profile: "work", follow: true });
  });

  test("offers ids, and names that are unique and need no quotes once something is typed", () => {
    const agents = ["ada", "ada", "grace", "grace hopper", "$(id)", "x\u001b[2J\ty"].map((name, i) => ({
      id: `agent-${i}`,
      name,
      status: "DEPLOYED",
    }));
    const offered = (typed: string) => offeredOf(agents, typed);
    assert.deepEqual(
      offered("").map(({ word }) => word),
      agents.map(({ id }) => id),
    );
    assert.deepEqual(offered("agent-2"), [{ word: "agent-2", about: "grace (DEPLOYED)" }]);
    assert.deepEqual(offered("g"), [{ word: "grace", about: "agent-2 (DEPLOYED)" }]);
    for (const typed of ["ada", "$", "x"]) assert.deepEqual(offered(typed), [], typed);
    assert.equal(offered("agent-5")[0]?.about, "x y (DEPLOYED)");
  });

  for (const shell of ["bash", "zsh", "fish"] as const) {
    test(`the script of ${shell} parses`, (t) => {
      const {
        status,
        error,
        stderr: said,
      } = spawnSync(shell, ["-n"], { input: scripts[shell], encoding: "utf8" });
      if (error) return t.skip(`${shell} is not installed`);
      assert.equal(status, 0, said);
    });
  }

  test("bash completes words and files with it", () => {
    const script = `
      launchpad() { printf 'status\\tshow\\nstart\\tbegin\\n'; }
      ${scripts.bash}
      COMP_WORDS=(launchpad sta); COMP_CWORD=1; _launchpad; echo "\${COMPREPLY[@]}"
      launchpad() { echo :files; }
      COMP_WORDS=(launchpad create -f package.j); COMP_CWORD=3; _launchpad; echo "\${COMPREPLY[@]}"
    `;
    const { stdout: said } = spawnSync("bash", ["-c", script], { cwd: home, encoding: "utf8" });
    assert.equal(said, "status start\npackage.json\n");
  });
});
