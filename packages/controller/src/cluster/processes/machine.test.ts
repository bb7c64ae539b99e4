import assert from "node:assert/strict";
import { availableParallelism, tmpdir } from "node:os";
import { test } from "vitest";
import { machineMeter } from "./machine.ts";

test("tells what is there and what of it is used", async () => {
  const { cpu, memory, storage } = await machineMeter(tmpdir())();
  for (const use of [cpu, memory, storage]) {
    assert.ok(use && use.total > 0 && use.used >= 0 && use.used <= use.total, JSON.stringify(use));
  }
  assert.equal(cpu.total, availableParallelism());
});

test("CPU is what was used since the sample before", async () => {
  const samples = [
    { busy: 100, all: 1000 },
    { busy: 150, all: 1100 },
    { busy: 150, all: 1100 },
  ];
  const meter = machineMeter(tmpdir(), () => samples.shift()!);
  const cores = availableParallelism();
  const used = async () => (await meter()).cpu.used;
  assert.equal(await used(), 0.1 * cores);
  assert.equal(await used(), 0.5 * cores);
  assert.equal(await used(), 0.5 * cores, "no time has passed");
});

test("a folder that is not there has no figures", async () => {
  assert.equal((await machineMeter("/nowhere/at/all")()).storage, null);
});
