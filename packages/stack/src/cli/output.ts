// Prints the progress of a start, and the table of addresses.

import type { ServiceState } from "@agent-launchpad/local-supabase/supervise/supervisor.ts";
import type { StackUrls } from "../stack.ts";

/** Shows how the start goes on. */
export interface Progress {
  service(name: string, state: ServiceState): void;
  /** A message from a service, kept apart from the list. */
  note(message: string): void;
  /** No more progress is shown. */
  end(): void;
}

interface Terminal {
  write(text: string): unknown;
  isTTY?: boolean;
}

/** The progress on a terminal (a list that is redrawn) or in a pipe (one line for each service that is ready). */
export function createProgress(output: Terminal, now: () => number = () => performance.now()): Progress {
  const since = now();
  const states = new Map<string, ServiceState>();
  let drawn = 0;
  let ended = false;
  const seconds = () => `${((now() - since) / 1000).toFixed(1)} s`;
  const erase = () => (drawn > 0 ? `\x1b[${drawn}A\x1b[J` : "");
  const list = () => {
    const lines = [...states].map(([name, state]) => `  ${state === "running" ? "✔" : "…"} ${name}`);
    drawn = lines.length;
    return lines.map((line) => `${line}\n`).join("");
  };
  return {
    service(name, state) {
      if (ended || state === "stopped") return;
      states.set(name, state);
      if (output.isTTY) output.write(erase() + list());
      else if (state === "running") output.write(`${name} ready (${seconds()})\n`);
    },
    note(message) {
      if (output.isTTY && !ended) output.write(`${erase()}${message}\n${list()}`);
      else output.write(`${message}\n`);
    },
    end() {
      if (output.isTTY && !ended) output.write(erase());
      ended = true;
    },
  };
}

/** The table of addresses and keys, and one request to try. */
export function readyText(urls: StackUrls, logs: string, startedInMs: number): string {
  const rows: [string, string][] = [
    ["API", `${urls.apiUrl}/api`],
    ["REST", `${urls.apiUrl}/rest/v1`],
    ["Auth", `${urls.apiUrl}/auth/v1`],
    ["Storage", urls.storageUrl],
    ["GraphQL", `${urls.apiUrl}/graphql/v1`],
    ["Functions", urls.functionsUrl],
    ["Reference", `${urls.apiUrl}/docs`],
    ["Mailbox", urls.mailboxUrl],
    ["Agents", `http://<agentId>.agents.localhost:${new URL(urls.apiUrl).port}`],
    ["Controller", urls.controllerUrl],
    ["Database", urls.dbUrl],
    ["Publishable key", urls.publishableKey],
    ["Secret key", urls.secretKey],
    ["S3 access key", urls.s3AccessKeyId],
    ["S3 secret key", urls.s3SecretAccessKey],
    ["Logs", logs],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const table = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join("\n");
  return `
Agent Launchpad is running (started in ${(startedInMs / 1000).toFixed(1)} s). Press Ctrl-C to stop.

${table}

Create a user and get a token:

  curl -s ${urls.apiUrl}/auth/v1/signup \\
    -H 'apikey: ${urls.publishableKey}' \\
    -H 'content-type: application/json' \\
    -d '{"email":"me@example.com","password":"a-long-password"}'

`;
}
