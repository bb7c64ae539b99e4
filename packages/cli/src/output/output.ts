// Writes results to stdout and progress to stderr.

import { type Paint, painter, wantsColour } from "./style.ts";

/** A stream that output goes to: process.stdout, or a stand-in of a test. */
export interface Sink {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface Look {
  paint: Paint;
  /** The terminal's width; undefined in a pipe, where nothing is cut. */
  columns?: number | undefined;
}

/**
 * Results go to stdout, everything about how it goes to stderr: a pipe gets results alone.
 */
export class Output {
  readonly json: boolean;
  readonly look: Look;
  /** Whether a person is watching stderr. */
  readonly interactive: boolean;
  readonly #out: Sink;
  readonly #err: Sink;
  readonly #errPaint: Paint;
  #drawn = false;

  constructor(options: {
    out: Sink;
    err: Sink;
    env: Readonly<Record<string, string | undefined>>;
    json: boolean;
    colour?: boolean | undefined;
  }) {
    const { out, err, env, json, colour } = options;
    this.json = json;
    this.#out = out;
    this.#err = err;
    this.look = {
      paint: painter(!json && wantsColour(out, env, colour)),
      columns: out.isTTY ? out.columns : undefined,
    };
    this.#errPaint = painter(wantsColour(err, env, colour));
    this.interactive = err.isTTY === true && !json;
  }

  /** The result: `value` for programs, what `render` makes of it for people. */
  result(value: unknown, render: (look: Look) => string): void {
    this.endProgress();
    this.#out.write(this.json ? `${JSON.stringify(value, null, 2)}\n` : render(this.look));
  }

  /** One item of a stream: a line of JSON for programs. */
  item(value: unknown, render: (look: Look) => string): void {
    this.endProgress();
    this.#out.write(this.json ? `${JSON.stringify(value)}\n` : render(this.look));
  }

  /** A remark for people; programs that asked for JSON are spared it. */
  note(text: string): void {
    if (this.json) return;
    this.endProgress();
    this.#err.write(`${text}\n`);
  }

  /** Something people must know whatever the output. */
  warn(text: string): void {
    this.endProgress();
    this.#err.write(`${this.#errPaint("yellow", "warning")}: ${text}\n`);
  }

  /** What is going on: one line that is redrawn, on a terminal alone. */
  progress(text: string): void {
    if (!this.interactive) return;
    this.#err.write(`${this.#drawn ? "\r\x1b[2K" : ""}${this.#errPaint("dim", text)}`);
    this.#drawn = true;
  }

  /** Takes the line of progress away. */
  endProgress(): void {
    if (!this.#drawn) return;
    this.#drawn = false;
    this.#err.write("\r\x1b[2K");
  }

  /** Writes to stderr as it is. */
  error(text: string): void {
    this.endProgress();
    this.#err.write(text);
  }

  /** Colours for stderr. */
  get errPaint(): Paint {
    return this.#errPaint;
  }
}
