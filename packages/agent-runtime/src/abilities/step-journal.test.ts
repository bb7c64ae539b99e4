// Steps on their way to the project: what a crash, a lost answer of the project and a full disk leave of them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { startProviderStub } from "../../../../tests/helpers/providers.ts";
import { startAgent } from "../testing/agent.ts";
import { type Called, granting } from "../testing/project.ts";
import { openStepJournal } from "./step-journal.ts";
import { createStepLog } from "./step-log.ts";
import type { Step } from "./steps.ts";

const stepOf = (more: Partial<Step> = {}): Step => ({
  id: randomUUID(),
  kind: "tool",
  name: "weather",
  status: "ok",
  startedAt: 1,
  milliseconds: 2,
  ...more,
});

let folder: string;
let warnings: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "step-journal-"));
  warnings = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const file = () => join(folder, "steps.jsonl");
const open = () => openStepJournal(folder, (message) => warnings.push(message));
const logWith = (journal = open()) =>
  createStepLog({ connected: true, journal, warn: (message) => warnings.push(message) });

describe("the journal of steps", () => {
  it("gives back what was not reported, and only that", () => {
    const [reported, left] = [stepOf(), stepOf({ result: "ä\u2028\n" })];
    const log = logWith();
    log.open("one").trace(reported);
    log.take().kept();
    assert.equal(statSync(file()).size, 0, "nothing waits: nothing is kept on disk");
    log.open("two").trace(left);
    assert.equal(statSync(file()).mode & 0o777, 0o600);
    const next = logWith();
    assert.deepEqual(next.take().answers, [{ messageId: "two", steps: [left] }]);
    assert.deepEqual(open().left, [{ messageId: "two", step: left }], "not yet reported");
  });

  it("keeps what is on its way and what came back", () => {
    const log = logWith();
    log.open("one").trace(stepOf({ name: "first" }));
    const first = log.take();
    log.open("one").trace(stepOf({ name: "second" }));
    const second = log.take();
    second.kept();
    assert.deepEqual(
      open().left.map(({ step }) => step.name),
      ["first", "second"],
      "reported ones may come again: each is kept once",
    );
    first.putBack();
    log.take().kept();
    assert.deepEqual(open().left, []);
  });

  it("survives a line that a kill cut, and lines of another form", () => {
    const log = logWith();
    const whole = stepOf();
    log.open("one").trace(whole);
    appendFileSync(file(), 'null\n7\n{"messageId":5,"step":{}}\n\n{"messageId":"one","step":{"kind":"to');
    assert.deepEqual(open().left, [{ messageId: "one", step: whole }]);
    const next = logWith();
    next.take().kept();
    assert.equal(readFileSync(file(), "utf8"), "");
  });

  it("stays small while one answer waits for long", () => {
    const log = logWith();
    log.open("slow").trace(stepOf({ name: "slow" }));
    const slow = log.take();
    for (let turn = 0; turn < 2_000; turn++) {
      log.open(`m${turn}`).trace(stepOf({ result: "x".repeat(2_000) }));
      log.take().kept();
    }
    assert.ok(statSync(file()).size < 1_100_000, `${statSync(file()).size} bytes`);
    assert.equal(open().left[0]?.step.name, "slow");
    slow.kept();
    assert.equal(statSync(file()).size, 0);
  });

  it("that cannot be written costs one warning and no step", () => {
    mkdirSync(file());
    const log = logWith();
    log.open("one").trace(stepOf());
    log.open("two").trace(stepOf());
    assert.equal(log.take().answers.length, 2);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? "", /^Steps of answers cannot be written/);
  });

  it("is not opened by a runtime without a folder", () => {
    chmodSync(folder, 0o500);
    const journal = openStepJournal(undefined, (message) => warnings.push(message));
    logWith(journal).open("one").trace(stepOf());
    assert.deepEqual([journal.left, warnings], [[], []]);
  });
});

/** A project that hears of steps and does not answer. */
const silent = (called: Called) =>
  called.args.steps === undefined ? granting(called) : { body: {}, after: new Promise(() => undefined) };

describe("a runtime that is killed", () => {
  it("between an answer and the report of its steps reports them when it starts again", async () => {
    await using stub = await startProviderStub(() => "hello");
    const environment = { ...stub.environment, AGENT_STATE_DIR: folder };
    await using first = await startAgent({ environment, project: silent });
    const { body } = await first.say({ text: "hello" });
    first.process.kill("SIGKILL");
    await first.exited;
    await using second = await startAgent({ environment });
    while (second.project.steps().length === 0) await new Promise(setImmediate);
    const [step] = second.project.steps();
    assert.deepEqual([step?.messageId, step?.kind, step?.status], [body.messageId, "model", "ok"]);
    // What the project may have kept before the kill comes under the same id.
    for (const earlier of first.project.steps()) assert.equal(earlier.id, step?.id);
  });

  it("and one that ended in order leaves nothing behind", async () => {
    await using stub = await startProviderStub(() => "hello");
    const environment = { ...stub.environment, AGENT_STATE_DIR: folder };
    await using agent = await startAgent({ environment });
    await agent.say({ text: "hello" });
    agent.process.kill("SIGTERM");
    await agent.exited;
    assert.equal(agent.project.steps().length, 1);
    assert.equal(readFileSync(file(), "utf8"), "");
  });
});
