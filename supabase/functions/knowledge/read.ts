/** From a file's bytes to its text, or to a sentence that says why it has none. */
import { readPdf } from "./pdf.ts";

export type Read = { readonly text: string } | { readonly refused: string };

const BINARY =
  "The file is not text. Upload a text, Markdown, CSV, JSON, YAML or PDF file; export other documents as one of these.";

/**
 * Reads a file: PDF by what it begins with, else text in UTF-8, UTF-16 with its mark, or Windows-1252 where a type says text.
 * @param bytes the file
 * @param mimetype as it was uploaded; the bytes decide where they can
 */
export async function readFile(bytes: Uint8Array, mimetype: string): Promise<Read> {
  const pdf = isPdf(bytes); // pdf.js takes the bytes for itself
  const read = pdf ? await readPdf(bytes) : decode(bytes, mimetype);
  if ("text" in read && read.text.trim() === "") {
    return pdf
      ? { refused: "The PDF has no text: its pages are pictures. Upload one with text, or its text alone." }
      : { refused: "The file is empty." };
  }
  return read;
}

/** Some files have a few bytes before the mark. */
const isPdf = (bytes: Uint8Array): boolean =>
  new TextDecoder("latin1").decode(bytes.subarray(0, 1024)).includes("%PDF-");

function decode(bytes: Uint8Array, mimetype: string): Read {
  const encoding = byMark(bytes);
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    return isReadable(text) ? { text } : { refused: BINARY };
  } catch {
    // What Excel writes as CSV on many machines; every byte means something there, so the text must look like one.
    const text = new TextDecoder("windows-1252").decode(bytes);
    return encoding === "utf-8" && mimetype.startsWith("text/") && isReadable(text)
      ? { text }
      : { refused: BINARY };
  }
}

function byMark([first, second]: Uint8Array): "utf-8" | "utf-16le" | "utf-16be" {
  if (first === 0xff && second === 0xfe) return "utf-16le";
  return first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
}

/** No U+0000, and at most one control character in a hundred. */
function isReadable(text: string): boolean {
  if (text.includes("\0")) return false;
  const controls = text.match(/[^\P{Cc}\n\r\t\f]/gu)?.length ?? 0;
  return controls <= text.length / 100;
}
