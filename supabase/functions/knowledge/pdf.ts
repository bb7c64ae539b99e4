/**
 * The text of a PDF, within limits of time and pages. Where the platform has workers a file that never ends is ended; hosted
 * has none, and ends the function itself after two seconds of work: the file is tried again, and refused after five times.
 */
import type { Read } from "./read.ts";

/** How long one file may take. */
const LIMIT_MS = 20_000;

const TOO_LONG = "Reading the PDF takes too long. Split it into smaller files, or upload its text.";

/** Reads a PDF's text. Never throws. */
export async function readPdf(bytes: Uint8Array, limitMs: number = LIMIT_MS): Promise<Read> {
  if (typeof Worker === "undefined") {
    const { extract } = await import("./pdf-text.ts");
    return await extract(bytes);
  }
  const worker = new Worker(new URL("./pdf-worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve } = Promise.withResolvers<Read>();
  const timer = setTimeout(() => resolve({ refused: TOO_LONG }), limitMs);
  worker.onmessage = ({ data }: MessageEvent<Read>) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault(); // else it ends the process
    resolve({ refused: "The PDF cannot be read. Save it again, or upload its text." });
  };
  worker.postMessage(bytes);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    worker.terminate();
  }
}
