// The log files of a stack: one per service, bounded while it runs.
import { createWriteStream, renameSync, statSync, type WriteStream } from "node:fs";
import { join } from "node:path";

/** A file that has grown past this becomes `.log.1`, in the place of the one before: twice this is all there is. */
const MAX_BYTES = 5 * 1024 * 1024;
/** Lines that the disk has not taken yet, per file; beyond this they are dropped. */
const MAX_WAITING = 1024 * 1024;
/** A disk that takes nothing is tried again after this. */
const RETRY_MS = 5000;

export interface Logs {
  write(service: string, line: string): void;
  close(): Promise<void>;
}

/** Opens the log files of a folder, each when its service first writes. */
export function openLogs(folder: string, maxBytes: number = MAX_BYTES): Logs {
  const files = new Map<string, LogFile>();
  return {
    write(service, line) {
      const name = service.replaceAll(/\W+/g, "-");
      let file = files.get(name);
      if (!file) {
        file = new LogFile(join(folder, `${name}.log`), maxBytes);
        files.set(name, file);
      }
      file.write(line);
    },
    async close() {
      await Promise.all([...files.values()].map((file) => file.close()));
    },
  };
}

class LogFile {
  readonly #path: string;
  readonly #maxBytes: number;
  #stream: WriteStream | undefined;
  #bytes = 0;
  #dropped = 0;
  #failedAt = 0;

  constructor(path: string, maxBytes: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
  }

  write(line: string): void {
    const stream = this.#open();
    if (stream === undefined || stream.writableLength > MAX_WAITING) {
      this.#dropped += 1;
      return;
    }
    const missing =
      this.#dropped === 0 ? "" : `(${this.#dropped} lines are missing: the disk did not take them)\n`;
    this.#dropped = 0;
    const text = `${missing}${line}\n`;
    this.#bytes += Buffer.byteLength(text);
    // Lines that come together are one write to the disk.
    if (stream.writableCorked === 0) {
      stream.cork();
      process.nextTick(() => stream.uncork());
    }
    stream.write(text);
    // Not before it is open: until then there may be no file to move.
    if (this.#bytes > this.#maxBytes && !stream.pending) this.#rotate(stream);
  }

  close(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined) return Promise.resolve();
    return new Promise((resolve) => stream.once("close", () => resolve()).end());
  }

  #open(): WriteStream | undefined {
    if (this.#stream !== undefined) return this.#stream;
    if (Date.now() - this.#failedAt < RETRY_MS) return undefined;
    const stream = createWriteStream(this.#path, { flags: "a", mode: 0o600 });
    // A full disk must not end the stack.
    stream.on("error", () => {
      this.#failedAt = Date.now();
      if (this.#stream === stream) this.#stream = undefined;
    });
    this.#bytes = statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0;
    this.#stream = stream;
    return stream;
  }

  /** What is still to be written goes to the file under its new name. */
  #rotate(stream: WriteStream): void {
    try {
      renameSync(this.#path, `${this.#path}.1`);
    } catch {
      return; // tried again with the next line
    }
    stream.end();
    this.#stream = undefined;
  }
}
