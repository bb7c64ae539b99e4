// Secrets in pairs: users and passwords of URLs, `name=value` of queries, forms and environment files, elements of XML, and objects
// in texts that are no JSON as a whole. A value is read only where its name says that it is a secret, and then passed over.
import { BLANK, isSecret } from "./names.ts";

/** `scheme://user:word@host`. */
export function inUrls(text: string): string {
  return text.replaceAll(
    /\b([a-z][a-z0-9+.-]{0,30}:\/\/)([^\s"'<>\\]+)/gi,
    (url, scheme: string, rest: string) => {
      if (!rest.includes("@")) return url;
      try {
        const { username, password } = new URL(url);
        if (username === "" && password === "") return url; // the @ is in the path
        return `${scheme}${BLANK}${rest.slice(/[/?#]/.test(rest) ? authorityEnd(rest) : rest.lastIndexOf("@"))}`;
      } catch {
        // A password with a character that a URL does not take: all before the last @ is what was meant.
        return `${scheme}${BLANK}${rest.slice(rest.lastIndexOf("@"))}`;
      }
    },
  );
}

/** Where the @ stands that ends the user and password. */
const authorityEnd = (rest: string): number => rest.slice(0, rest.search(/[/?#]/)).lastIndexOf("@");

/** Replaces what `found` says of each match; a match that is not a secret is passed over up to its value. */
function replaced(
  text: string,
  name: RegExp,
  found: (
    match: RegExpExecArray,
    from: number,
  ) => { readonly to: number; readonly instead: string } | undefined,
): string {
  const names = new RegExp(name);
  let clean = "";
  let done = 0;
  for (let match = names.exec(text); match !== null; match = names.exec(text)) {
    const from = names.lastIndex;
    const secret = found(match, from);
    if (secret === undefined) continue;
    clean += text.slice(done, from) + secret.instead;
    done = secret.to;
    names.lastIndex = done;
  }
  return clean + text.slice(done);
}

/** Pairs of JSON in a text that is not JSON as a whole, also where it is quoted in another text, or cut. */
export function inQuoted(text: string): string {
  // Backslashes are read from their first one on: a page of them costs no more than its length.
  const name = /(?<!\\)(\\{0,300})"([^"\\\n]{1,100})\1"\s{0,100}:\s{0,100}/g;
  const value = /(\\*)"[\s\S]*?(?:(?<!\\)\1"|$)|[^\s,}\]]+/y;
  return replaced(text, name, ([, slashes = "", named = ""], from) => {
    if (!isSecret(named, undefined)) return undefined;
    const end = endOfGroup(text, from);
    const instead = `${slashes}"${BLANK}${slashes}"`;
    if (end !== undefined) return { to: end, instead };
    value.lastIndex = from;
    const said = value.exec(text);
    const bare = said?.[0].replaceAll(/^\\*"|\\*"$/g, "");
    if (said === null || !isSecret(named, bare === "null" ? null : bare)) return undefined;
    return { to: value.lastIndex, instead };
  });
}

/** `'name': 'value'`, `name: 'value'`, `"name" => "value"` and `name = "value"`, as Python, JavaScript, Ruby, PHP and Terraform print. */
export function inObjects(text: string): string {
  const name =
    /(?<![\w.-])(['"]?)([\w.-]{1,100})\1(?:[ \t]{0,20}(?:=>|:=?)|[ \t]{1,20}=)[ \t]{0,20}(?=['"{[])/g;
  const value = /'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"/y;
  return replaced(text, name, ([, , named = ""], from) => {
    if (!isSecret(named, undefined)) return undefined;
    const end = endOfGroup(text, from);
    if (end !== undefined) return { to: end, instead: BLANK };
    value.lastIndex = from;
    const said = value.exec(text);
    if (said === null || !isSecret(named, said[1] ?? said[2])) return undefined;
    const quote = text[from];
    return { to: value.lastIndex, instead: `${quote}${BLANK}${quote}` };
  });
}

/** Where the object or list ends that begins here; the text's end where it is cut. */
function endOfGroup(text: string, from: number): number | undefined {
  if (text[from] !== "{" && text[from] !== "[") return undefined;
  const marks = /[{}[\]]/g;
  marks.lastIndex = from;
  let depth = 0;
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    depth += mark[0] === "{" || mark[0] === "[" ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  return text.length;
}

/** The name of a form's field as it is meant: `user[password]`, `api%5Fkey`, `password[]`. */
const formName = (name: string): string =>
  name
    .replaceAll(/%([2-7][\da-f])/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    .replaceAll(/[[\]]+/g, " ")
    .trim();

/** `name=value` of a query, a form or an environment file, and `<name>value</name>`. */
export function inPairs(text: string): string {
  const value =
    /"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:[^"\\]|\\[\s\S])*"|'[^']*'|["'][^\n]*|(?:[^\s&"'<>,;]|'(?=\w))+/y;
  const pairs = replaced(text, /([\w.%[\]-]{1,100})=/g, ([, named = ""], from) => {
    const name = formName(named);
    if (!isSecret(name, undefined)) return undefined;
    value.lastIndex = from;
    const said = value.exec(text)?.[0];
    if (said === undefined || !isSecret(name, said.replaceAll(/^["']|["']$/g, ""))) return undefined;
    return { to: value.lastIndex, instead: BLANK };
  });
  const content = /<!\[CDATA\[[\s\S]*?(?:\]\]>|$)|[^<]+/y;
  return replaced(pairs, /<([\w:.-]{1,100})(?:\s[^<>]{0,1000})?>/g, ([, named = ""], from) => {
    if (!isSecret(named, undefined)) return undefined;
    content.lastIndex = from;
    const said = content.exec(pairs)?.[0];
    if (said === undefined || said.trim() === "" || !isSecret(named, said)) return undefined;
    return { to: content.lastIndex, instead: BLANK };
  });
}
