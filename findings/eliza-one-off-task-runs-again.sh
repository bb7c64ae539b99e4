#!/usr/bin/env bash
# elizaOS's task service (@elizaos/plugin-bootstrap 1.7.2) looks for due tasks each second and does not wait for the look before: a task
# that runs once (no tag "repeat") and takes longer than a second is executed again each second until its first execution ends and
# deletes it. The documentation (mintlify.com/elizaos/eliza, "task service") promises that one-time tasks run once and that runs of a
# task do not overlap.
# Consequence: what a task begins has an id of the task, so that a reminder comes once (docs/adr/0221-what-an-agent-begins-has-an-id.md).
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts @elizaos/core@1.7.2 @elizaos/plugin-bootstrap@1.7.2 >/dev/null
npm install --silent --no-audit --no-fund node@24.21.0 >/dev/null
cat >run.mjs <<'JS'
import { readFileSync } from "node:fs";
import bootstrap from "@elizaos/plugin-bootstrap";

const { version } = JSON.parse(readFileSync("node_modules/@elizaos/plugin-bootstrap/package.json", "utf8"));
console.log(`version: @elizaos/plugin-bootstrap ${version}`);
console.log("valid input: one task with the tag \"queue\", whose worker takes 3.5 s");
const tasks = new Map([["t", { id: "t", name: "REMIND", tags: ["queue"], metadata: {} }]]);
const deleted = Promise.withResolvers();
let executions = 0;
const worker = {
  name: "REMIND",
  async execute() {
    executions += 1;
    await new Promise((done) => setTimeout(done, 3500));
  },
};
const silent = () => undefined;
const runtime = {
  agentId: "a",
  logger: { debug: silent, info: silent, warn: silent, error: silent },
  getTasks: async () => [...tasks.values()],
  getTaskWorker: () => worker,
  async deleteTask(id) {
    tasks.delete(id);
    deleted.resolve();
  },
};
const service = await bootstrap.services.find(({ serviceType }) => serviceType === "task").start(runtime);
await deleted.promise;
await service.stop();
console.log(`seen: executed ${executions} times before it was deleted`);
process.exit(executions > 1 ? 0 : 1);
JS
node_modules/.bin/node run.mjs
