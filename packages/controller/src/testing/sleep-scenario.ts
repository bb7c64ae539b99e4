// One seeded run of agents that sleep and wake, with requests and messages, while controllers crash.

import assert from "node:assert/strict";
import { type Caller, caller, STRANGER } from "../ingress/caller.ts";
import type { Verdict } from "../ingress/door.ts";
import { specOf } from "./memory-database.ts";
import { Simulation, type SimulationOptions } from "./simulation.ts";

const IDLE_SECONDS = 60;
const OWNER = caller("token", "owner");
/** Whoever shows a token that is nobody's, or nothing. */
const STRANGERS: readonly Caller[] = [caller("token", "forged"), STRANGER];

/** How a request ended: `answered`, `broken` off by a crash, or the code of the door's answer. */
type Outcome = string;

/** Requests of clients: each is brought to a ready replica, or waits at a controller's door. */
class Clients {
  readonly outcomes: Outcome[] = [];
  pending = 0;
  /** By controller, what breaks off with it. */
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #simulation: Simulation;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    simulation.onCrash = (worker) => {
      for (const breakOff of [...(this.#waiting.get(worker) ?? [])]) breakOff();
    };
  }

  request(agentId: string, milliseconds: number, from = OWNER): void {
    this.pending += 1;
    let over = false;
    this.#try(agentId, milliseconds, from, undefined, (outcome) => {
      assert.equal(over, false, "a request ends once");
      over = true;
      this.pending -= 1;
      this.outcomes.push(outcome);
    });
  }

  #try(
    agentId: string,
    milliseconds: number,
    from: Caller,
    since: number | undefined,
    end: (how: Outcome) => void,
  ): void {
    const { random, sites } = this.#simulation;
    const answered = (whole: boolean) => end(whole ? "answered" : "broken");
    const up = sites.filter(({ life }) => life !== undefined && !life.dead);
    if (up.some(({ cluster }) => cluster.serve(agentId, milliseconds, answered))) return;
    // An agent's address leads to the controller that holds it; of one that nobody holds any door is asked.
    const site =
      up.find(({ life }) => life?.controller.reconciler.held.has(agentId)) ??
      up[Math.floor(random() * up.length)];
    if (site?.life === undefined) {
      end("broken");
      return;
    }
    const waiting = this.#waiting.get(site.worker) ?? new Set();
    this.#waiting.set(site.worker, waiting);
    const breakOff = () => {
      waiting.delete(breakOff);
      wait.leave();
      end("broken");
    };
    const decide = (verdict: Verdict) => {
      waiting.delete(breakOff);
      if (verdict === undefined) this.#try(agentId, milliseconds, from, wait.since, end);
      else end(verdict.code);
    };
    waiting.add(breakOff);
    const wait = site.life.door.hold(agentId, from, decide, since);
  }
}

/** What happened in a run, to see that it is worth running. */
export interface Counts {
  crashes: number;
  sleeps: number;
  /** Requests, by how they ended. */
  outcomes: Record<string, number>;
}

/**
 * One seeded run: requests, messages, verbs and faults for five minutes, then calm. No request is lost, no agent that works
 * is put to sleep, no stopped one is woken, none by a stranger; in the end idle agents sleep, deleted ones are gone, and one
 * wake answers many requests.
 * @throws {AssertionError} what is not
 */
export async function run(seed: number, options: Omit<SimulationOptions, "seed">): Promise<Counts> {
  const simulation = new Simulation({ ...options, seed, sampleSeconds: 15 });
  const { clock, database, random } = simulation;
  const clients = new Clients(simulation);
  const agents = ["agent-0", "agent-1", "agent-2"];
  // One is asked for by strangers alone, one is deleted at some point.
  const [shy, deleted] = ["agent-shy", "agent-deleted"];
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const early: string[] = [];
  // Not thrown here: the controller would take it for a failed call.
  simulation.onAsleep = (agentId, idle) => {
    if (idle < IDLE_SECONDS) early.push(`${agentId} after ${idle} idle seconds`);
  };

  for (const agentId of [...agents, shy, deleted]) {
    database.launch(agentId, specOf({ model: "good" }), 1 + Math.floor(random() * 2));
    database.row(agentId).idleSeconds = IDLE_SECONDS;
  }
  /** What users asked for last: stopped agents stay so until they are started. */
  const stopped = new Set<string>();
  const deletedAt = Math.floor(random() * 40);
  for (let step = 0; step < 40; step += 1) {
    if (step === deletedAt) database.delete(deleted);
    const agentId = pick([...agents, deleted]);
    const verb = random();
    if (verb < 0.3) clients.request(agentId, random() * 20_000);
    else if (verb < 0.35) for (let many = 0; many < 20; many += 1) clients.request(agentId, random() * 1000);
    else if (verb < 0.45) message(simulation, agentId, random() * 20_000);
    else if (verb < 0.5) database.sleep(agentId);
    else if (verb < 0.55) database.wake(agentId);
    else if (verb < 0.58) database.scale(agentId, 1 + Math.floor(random() * 3));
    else if (verb < 0.6) database.setIdle(agentId, pick([IDLE_SECONDS, 90, undefined]));
    else if (verb < 0.65) database.update(agentId, { model: pick(["good", "better", "crash"]) });
    else if (verb < 0.68) database.restart(agentId);
    else if (verb < 0.72) {
      database.stop(agentId);
      if (agentId !== deleted) stopped.add(agentId);
    } else if (verb < 0.78) {
      database.startAgain(agentId);
      stopped.delete(agentId);
    } else if (verb < 0.82) simulation.pause(Math.floor(random() * options.controllers), random() * 40_000);
    if (random() < 0.3) clients.request(pick([shy, ...agents]), random() * 5000, pick(STRANGERS));
    simulation.hint();
    await clock.advance(random() * 15_000);
    for (const one of stopped) assert.equal(database.row(one).desired, "stopped", `${one}: nothing wakes it`);
  }
  for (const agentId of agents)
    if (database.row(agentId).idleSeconds !== IDLE_SECONDS) database.setIdle(agentId, IDLE_SECONDS);
  await simulation.calm(400_000);
  assert.equal(clients.pending, 0, "every request has its answer");
  assert.deepEqual(early, [], "only idle agents are put to sleep");

  const { desired, generation, phase } = database.row(shy);
  assert.deepEqual([desired, phase, generation], ["asleep", "ASLEEP", 2], "strangers wake nothing");
  assert.equal(database.row(deleted).phase, "DELETED");
  const left = simulation.sites.flatMap((site) => site.cluster.running(deleted));
  assert.equal(left.length, 0, "nothing of a deleted agent is left");

  const counts: Counts = {
    crashes: simulation.crashes,
    sleeps: database.transitions.filter((one) => one.endsWith(":ASLEEP")).length,
    outcomes: Object.fromEntries(
      Object.entries(Object.groupBy(clients.outcomes, (one) => one)).map(([how, all]) => [
        how,
        all?.length ?? 0,
      ]),
    ),
  };
  for (const agentId of agents) {
    const row = database.row(agentId);
    const broken = row.desired === "running" && row.spec.model === "crash";
    const expected = stopped.has(agentId) ? "STOPPED" : broken ? "FAILED" : "ASLEEP";
    assert.equal(row.phase, expected, `${agentId}: at rest`);
    assert.equal(row.observedGeneration, row.generation, `${agentId}: the last wish was seen`);
    // What serves an earlier revision goes on serving.
    const replicas = simulation.sites.flatMap((site) => site.cluster.running(agentId));
    if (!broken) assert.equal(replicas.length, 0, `${agentId}: no replica`);
    await wakeByMany(simulation, clients, agentId, expected);
  }
  for (const site of simulation.sites) await site.life?.controller.stop();
  return counts;
}

/** An answer that the database knows of: it wakes a sleeper, as its claim does. */
function message({ clock, database }: Simulation, agentId: string, milliseconds: number): void {
  const row = database.row(agentId);
  if (row.desired === "stopped") return;
  row.openAnswers += 1;
  database.wake(agentId);
  clock.after(milliseconds, () => {
    row.openAnswers -= 1;
  });
}

/** Fifty requests at once, with nothing in their way any more. */
async function wakeByMany(
  { clock, database }: Simulation,
  clients: Clients,
  agentId: string,
  phase: string,
): Promise<void> {
  const row = database.row(agentId);
  const before = row.generation;
  clients.outcomes.length = 0;
  for (let many = 0; many < 50; many += 1) clients.request(agentId, 100);
  await clock.advance(40_000);
  assert.equal(clients.pending, 0, `${agentId}: every request has its answer`);
  const outcomes = [...new Set(clients.outcomes)];
  if (phase === "STOPPED") {
    assert.deepEqual([outcomes, row.phase, row.generation], [["CONFLICT"], "STOPPED", before]);
  } else if (phase === "ASLEEP") {
    assert.equal(row.generation, before + 1, `${agentId}: one wake`);
    // What cannot start is told, unless an earlier revision serves in its place.
    const broken = row.spec.model === "crash" && outcomes[0] === "DEPLOYMENT_FAILED";
    assert.deepEqual(outcomes, [broken ? "DEPLOYMENT_FAILED" : "answered"], `${agentId}: after its wake`);
  }
}
