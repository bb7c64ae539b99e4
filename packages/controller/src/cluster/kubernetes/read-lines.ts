// Splits a stream of bytes into lines.

const NEWLINE = 10;

/** Splits bytes into lines of text as they come; an unfinished last line is left out. */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  // Pieces of a line that has not ended: joined once, however many there are.
  let pieces: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      pieces.push(chunk.subarray(start, end));
      const line = Buffer.concat(pieces).toString("utf8");
      pieces = [];
      start = end + 1;
      if (line !== "") yield line;
    }
    if (start < chunk.length) pieces.push(chunk.subarray(start));
  }
}
