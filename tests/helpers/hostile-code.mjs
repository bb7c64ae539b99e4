// What code inside an agent tries: each attempt's outcome by its name. Plain JavaScript: it is a plugin of the model
// engine, and a program that stands in for the runtime (run as one, it tries the same without Node's permission model).
import { execFileSync } from "node:child_process";
import { existsSync, linkSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

/** Runs one attempt; "done" where it succeeded, else why it did not. */
function outcome(attempt) {
  try {
    attempt();
    return "done";
  } catch (error) {
    return error.code ?? error.message;
  }
}

/** @param targets {read: string[], list: string[], write: string[], signal: number[]} */
function attempts({ read = [], list = [], write = [], signal = [] }) {
  const own = process.env.AGENT_STATE_DIR;
  const tried = {};
  for (const path of read) tried[`read ${path}`] = outcome(() => readFileSync(path));
  for (const path of list) tried[`list ${path}`] = outcome(() => readdirSync(path));
  for (const path of write) tried[`write ${path}`] = outcome(() => writeFileSync(path, "", { flag: "a" }));
  for (const pid of signal) tried[`signal ${pid}`] = outcome(() => process.kill(pid, 0));
  tried["child process"] = outcome(() => execFileSync("/bin/true"));
  tried.worker = outcome(() => void new Worker("0", { eval: true }).terminate());
  tried.debugger = outcome(() => process.getBuiltinModule("inspector").open(0));
  tried["link out"] = outcome(() => symlinkSync("/", join(own, "root")));
  tried["link in"] = outcome(() => linkSync(process.env.AGENT_CONFIG_FILE, join(own, "config")));
  tried["module that passes the model"] = outcome(() => {
    if (process.getBuiltinModule("sqlite") === undefined) throw new Error("not there");
  });
  tried["own folder"] = outcome(() => {
    writeFileSync(join(own, "note"), "mine");
    if (readFileSync(join(own, "note"), "utf8") !== "mine" || !existsSync(own)) throw new Error("not kept");
  });
  tried["compiled code"] = outcome(() => writeFileSync(join(process.env.NODE_COMPILE_CACHE ?? "/", "x"), ""));
  return tried;
}

export default {
  name: "hostile",
  init({ environment, log }) {
    log.info("tried", attempts(JSON.parse(environment.TARGETS)));
  },
};

if (process.argv[2] === "as-runtime") {
  const say = (message, metadata) =>
    console.log(JSON.stringify({ level: "INFO", source: "runtime", message, metadata }));
  say("tried", attempts(JSON.parse(process.env.TARGETS)));
  const server = createServer((_, response) => response.end('{"status":"ok","model":"unconfigured"}'));
  server.listen(0, "127.0.0.1", () => say("listening", { port: server.address().port }));
  process.stdin.on("end", () => process.exit(0)).resume();
  process.on("SIGTERM", () => process.exit(0));
}
