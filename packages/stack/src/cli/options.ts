// Parses the command line of `npm start`.

import { parseArgs } from "node:util";
import { StackError } from "@agent-launchpad/local-supabase/errors.ts";

export interface CliOptions {
  port: number;
  dbPort: number;
  dataDir: string;
  ephemeral: boolean;
  json: boolean;
  newKeys: boolean;
  upgrade: boolean;
  cluster: "processes" | "kubernetes";
  /** Of `--cluster kubernetes`; absent: KUBECONFIG, or the file that kubectl reads. */
  kubeconfig?: string;
  context?: string;
  help: boolean;
}

export const HELP = `Starts Agent Launchpad on this machine.

Usage: npm start -- [flags]

  --port N         the gateway's port (54321; 0: any free one)
  --db-port N      the database's port (54322; 0: any free one)
  --data-dir PATH  where data is kept (.launchpad)
  --ephemeral      keep nothing: a temporary folder, deleted at the end
  --new-keys       make new keys where keys.json is lost: users sign in again, programs need the new keys
  --upgrade        change the schema of a database that an older checkout made; its data stays
  --cluster NAME   where agents run: processes (default) or kubernetes
  --kubeconfig F   with --cluster kubernetes: the file that says where it is (KUBECONFIG, ~/.kube/config)
  --context NAME   with --cluster kubernetes: another context of that file than its current one
  --json           when ready, print one line of JSON on stdout and no table
  --help           this text

Settings of model providers (OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_API, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL,
GOOGLE_GENERATIVE_AI_API_KEY, GOOGLE_GENERATIVE_AI_BASE_URL) are taken from the environment or from
supabase/functions/.env and reach the functions and the agents.
`;

/** Reads the command line. Throws StackError, one sentence, for anything that makes no sense. */
export function parseOptions(args: readonly string[]): CliOptions {
  const values = parse(args);
  const cluster = values.cluster ?? "processes";
  if (cluster !== "processes" && cluster !== "kubernetes") {
    throw new StackError(`--cluster is processes or kubernetes, not ${JSON.stringify(cluster)}.`);
  }
  for (const flag of ["kubeconfig", "context"] as const) {
    if (values[flag] === "") throw new StackError(`--${flag} needs a value.`);
    if (values[flag] !== undefined && cluster !== "kubernetes") {
      throw new StackError(`--${flag} goes with --cluster kubernetes.`);
    }
  }
  if (values["data-dir"] === "") throw new StackError("--data-dir needs a path.");
  if (values.ephemeral && values["data-dir"] !== undefined) {
    throw new StackError("--ephemeral keeps no data, so it cannot go with --data-dir.");
  }
  return {
    port: portOf("--port", values.port, 54321),
    dbPort: portOf("--db-port", values["db-port"], 54322),
    dataDir: values["data-dir"] ?? ".launchpad",
    ephemeral: values.ephemeral ?? false,
    json: values.json ?? false,
    newKeys: values["new-keys"] ?? false,
    upgrade: values.upgrade ?? false,
    cluster,
    ...(values.kubeconfig === undefined ? {} : { kubeconfig: values.kubeconfig }),
    ...(values.context === undefined ? {} : { context: values.context }),
    help: values.help ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        port: { type: "string" },
        "db-port": { type: "string" },
        "data-dir": { type: "string" },
        ephemeral: { type: "boolean" },
        json: { type: "boolean" },
        "new-keys": { type: "boolean" },
        upgrade: { type: "boolean" },
        cluster: { type: "string" },
        kubeconfig: { type: "string" },
        context: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    // Node's message goes on about how to write positional arguments; its first sentence is the point.
    const message =
      error instanceof Error ? (error.message.split(/\.\s|\n/)[0] ?? error.message) : String(error);
    throw new StackError(`${message.replace(/\.$/, "")}; --help lists the flags.`);
  }
}

function portOf(flag: string, text: string | undefined, standard: number): number {
  if (text === undefined) return standard;
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65535) {
    throw new StackError(`${flag} takes a number from 0 to 65535, not ${JSON.stringify(text)}.`);
  }
  return port;
}
