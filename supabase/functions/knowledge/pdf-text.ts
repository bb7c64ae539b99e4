/** The text of a PDF by pdf.js, in unpdf's build of it for servers: nothing is drawn, run or fetched. */
import { extractText, getDocumentProxy } from "unpdf";
import type { Read } from "./read.ts";

const MAX_PAGES = 2_000;

/** Reads the text of all pages. Never throws: what is wrong becomes a sentence. */
export async function extract(bytes: Uint8Array): Promise<Read> {
  try {
    const pdf = await getDocumentProxy(bytes, { verbosity: 0 });
    if (pdf.numPages > MAX_PAGES) {
      return { refused: `The PDF has ${pdf.numPages} pages; at most ${MAX_PAGES} are read. Split it.` };
    }
    const { text } = await extractText(pdf);
    return { text: text.join("\n\n") };
  } catch (error) {
    return (error as Error).name === "PasswordException"
      ? { refused: "The PDF is protected by a password. Upload it without one." }
      : { refused: "The PDF cannot be read. Save it again, or upload its text." };
  }
}
