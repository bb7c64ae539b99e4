import assert from "node:assert/strict";
import { test } from "vitest";
import { extract } from "./pdf-text.ts";
import { readFile } from "./read.ts";
import { makePdf } from "./testing/pdf.ts";

const bytes = (text: string, encoding: BufferEncoding = "utf8") =>
  new Uint8Array(Buffer.from(text, encoding));

const readable: [name: string, file: Uint8Array, type: string, text: string][] = [
  ["UTF-8", bytes("Öffnungszeiten"), "text/plain", "Öffnungszeiten"],
  ["UTF-8 with its mark", bytes("\uFEFFHours"), "text/plain", "Hours"],
  ["UTF-16 with its mark", bytes("\uFEFFHours", "utf16le"), "text/plain", "Hours"],
  ["Windows-1252, as Excel writes CSV", bytes("Caf\xe9;3 \x80", "latin1"), "text/csv", "Café;3 €"],
  ["text of an unknown type", bytes("Hours"), "application/octet-stream", "Hours"],
  [
    "a PDF",
    makePdf(["Refunds take thirty days.", "Second page"]),
    "application/pdf",
    "Refunds take thirty days.\n\nSecond page",
  ],
  ["a PDF that says it is text", makePdf(["Hello"]), "text/plain", "Hello"],
];
for (const [name, file, type, text] of readable)
  test(`reads ${name}`, async () => assert.deepEqual(await readFile(file, type), { text }));

const refused: [name: string, file: Uint8Array, type: string, why: RegExp][] = [
  ["a program", bytes("\x7fELF\x02\x01\x01\0\0\0"), "application/octet-stream", /is not text\. Upload/],
  ["a Word document", bytes("PK\x03\x04\x14\0\x06\0"), "text/plain", /is not text\. Upload.*export/],
  ["bytes of no encoding", bytes("\xff\xc0\x80 x", "latin1"), "application/octet-stream", /is not text/],
  ["control characters", bytes("\x01\x02\x03\x04abc"), "text/plain", /is not text/],
  ["an empty file", bytes(""), "text/plain", /is empty/],
  ["white space", bytes(" \n\t"), "text/markdown", /is empty/],
  ["a PDF of pictures", makePdf(["", ""]), "application/pdf", /has no text/],
  ["a PDF that is cut off at its head", bytes("%PDF-1.7\n"), "application/pdf", /cannot be read/],
];
for (const [name, file, type, why] of refused)
  test(`refuses ${name} with a sentence`, async () => {
    const read = await readFile(file, type);
    assert.ok("refused" in read, JSON.stringify(read));
    assert.match(read.refused, why);
  });

test("a PDF cut at any byte is read or refused, and never throws", async () => {
  const whole = makePdf(["Refunds take thirty days."]);
  for (let end = 8; end < whole.length; end += 37) {
    const read = await extract(whole.slice(0, end));
    assert.ok("text" in read || /cannot be read/.test(read.refused));
  }
});
