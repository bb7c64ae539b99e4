import { createWriteStream, statSync, type WriteStream } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";

const MAX_BYTES = 5 * 1024 * 1024;

/** The log files of a stack: one per service, the one of earlier starts kept as `.1` when it has grown. */
export interface Logs {
  write(service: string, line: string): void;
  close(): Promise<void>;
}

/** Opens the log files of a folder, each when its service first writes. */
export function openLogs(folder: string): Logs {
  const files = new Map<string, WriteStream>();
  return {
    write(service, line) {
      let file = files.get(service);
      if (!file) {
        file = createWriteStream(join(folder, `${service}.log`), { flags: "a", mode: 0o600 });
        file.on("error", () => {}); // a full disk must not end the stack
        files.set(service, file);
      }
      file.write(`${line}\n`);
    },
    async close() {
      await Promise.all([...files.values()].map((file) => new Promise((resolve) => file.end(resolve))));
    },
  };
}

/** Moves log files that have grown past 5 MB aside, so that they never fill the disk. */
export async function rotateLogs(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(folder, name);
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES) await rename(path, `${path}.1`);
  }
}
