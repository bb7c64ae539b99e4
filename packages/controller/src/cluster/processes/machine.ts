// Measures the machine's CPU, memory and disk.

import { statfs } from "node:fs/promises";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";

export interface Use {
  total: number;
  used: number;
}

export interface MachineUse {
  /** Cores; used since the sample before. */
  cpu: Use;
  /** Bytes. */
  memory: Use;
  /** Bytes of the file system that holds the state; null where the system does not tell. */
  storage: Use | null;
}

interface Ticks {
  busy: number;
  all: number;
}

/**
 * What the machine has and what of it is in use, by everything that runs there. CPU is a rate: each sample tells of the
 * time since the one before, the first of the time since the machine started.
 */
export function machineMeter(folder: string, ticks: () => Ticks = cpuTicks): () => Promise<MachineUse> {
  let before: Ticks = { busy: 0, all: 0 };
  let share = 0;
  return async () => {
    const now = ticks();
    const [busy, all] = [now.busy - before.busy, now.all - before.all];
    // Two samples within one tick of the clock tell nothing: the last share stands.
    if (all > 0) share = Math.min(1, Math.max(0, busy / all));
    before = now;
    const total = availableParallelism();
    const memory = totalmem();
    return {
      cpu: { total, used: Math.round(share * total * 1000) / 1000 },
      memory: { total: memory, used: memory - freemem() },
      storage: await storageOf(folder),
    };
  };
}

function cpuTicks(): Ticks {
  let [idle, all] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { busy: all - idle, all };
}

async function storageOf(folder: string): Promise<Use | null> {
  try {
    const { blocks, bavail, bfree, bsize } = await statfs(folder);
    const used = (blocks - bfree) * bsize;
    // As `df` has it: what is reserved for the administrator is nobody's to use.
    return { total: used + bavail * bsize, used };
  } catch {
    return null;
  }
}
