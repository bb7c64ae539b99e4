/** XML as S3 speaks it. */
import { failures } from "../errors.ts";

export type Xml = string | number | boolean | null | undefined | Date | Xml[] | { [name: string]: Xml };

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;" };

/** A document with one root. What is undefined is left out, lists repeat their name, null is an empty element. */
export function xmlOf(root: string, content: Xml): string {
  const space = root === "Error" ? "" : ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';
  const inner = innerOf(content);
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${space}>${inner}</${root}>`;
}

function innerOf(content: Xml): string {
  if (content === null || content === undefined) return "";
  if (content instanceof Date) return content.toISOString();
  if (typeof content !== "object")
    return String(content).replace(/[&<>\r]/g, (mark) => ESCAPES[mark] ?? mark);
  return Object.entries(content)
    .flatMap(([name, value]) =>
      (Array.isArray(value) ? value : value === undefined ? [] : [value]).map(
        (one) => `<${name}>${innerOf(one)}</${name}>`,
      ),
    )
    .join("");
}

/** What a document holds; elements named in `lists` as lists. Throws MalformedXML. */
export async function parsedXml(bytes: Buffer, lists: string[]): Promise<Record<string, unknown>> {
  const text = bytes.toString("utf8");
  if (/<!DOCTYPE/i.test(text)) throw failures.malformedXml("DOCTYPE is not supported");
  const { XMLParser, XMLValidator } = await import("fast-xml-parser");
  if (XMLValidator.validate(text) !== true) throw failures.malformedXml();
  const parser = new XMLParser({
    ignoreDeclaration: true,
    parseTagValue: false,
    trimValues: false,
    isArray: (name) => lists.includes(name),
  });
  try {
    return parser.parse(text) as Record<string, unknown>;
  } catch {
    throw failures.malformedXml();
  }
}
