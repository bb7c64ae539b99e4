// Secrets that a text itself names: the user and password of a URL, and values whose names say that they are secrets, in JSON,
// queries, forms, headers, environment files and XML. What an agent's tools are sent and answer holds more than its own keys.

/** Names whose values are nobody's to read later. */
const SECRET_NAME =
  /pass(word|wd|phrase)?$|^pwd$|secret|token|api[-_ ]?key|^key$|authorization|credential|cookie|private[-_ ]?key|signature$|^sig$/i;
const BLANK = "[secret]";
/** JSON within JSON within JSON …: deeper it is looked through as a text. */
const DEEPEST = 8;

/** Names in which these words mean something else. */
const HARMLESS_NAME = /^secretar(y|ies)$|tokeni[sz](e|ers?|ed|ation)$|token[-_ ]?(type|count)s?$/i;

/** Whether a value of this name is a secret. Numbers of tokens are counts, and what is true or false is none. */
export const isSecret = (name: string, value: unknown): boolean =>
  value !== null &&
  value !== "" &&
  typeof value !== "boolean" &&
  SECRET_NAME.test(name) &&
  !HARMLESS_NAME.test(name) &&
  !(/tokens/i.test(name) && (typeof value === "number" || /^\d+$/.test(String(value))));

/**
 * A text without the secrets that it names.
 * @example withoutNamedSecrets("postgres://me:word@db.example/x?token=t") // "postgres://[secret]@db.example/x?token=[secret]"
 */
export function withoutNamedSecrets(text: string, depth = 0): string {
  const parsed = depth < DEEPEST ? asJson(text) : undefined;
  if (parsed === undefined) return inLines(inPairs(inObjects(inQuoted(inUrls(text)))));
  const clean = JSON.stringify(cleaned(parsed.value, depth + 1));
  // What named no secret stays as it was written.
  return clean === JSON.stringify(parsed.value) ? text : clean;
}

function asJson(text: string): { value: unknown } | undefined {
  if (!/^\s*["[{]/.test(text)) return undefined;
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined; // cut, several, or something else
  }
}

function cleaned(value: unknown, depth: number): unknown {
  if (typeof value === "string") return withoutNamedSecrets(value, depth);
  if (typeof value !== "object" || value === null) return value;
  if (depth > 40) return "…";
  if (Array.isArray(value)) return value.map((item) => cleaned(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      isSecret(name, inner) ? BLANK : cleaned(inner, depth + 1),
    ]),
  );
}

function inUrls(text: string): string {
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

/** Pairs of JSON in a text that is no JSON as a whole, also where it is quoted in another text, or cut. */
function inQuoted(text: string): string {
  // Backslashes are read from their first one on, and values only of secrets: a page of either costs no more than its length.
  const name = /(?<!\\)(\\{0,300})"([^"\\\n]{1,100})\1"\s{0,100}:\s{0,100}/g;
  const value = /(\\*)"[\s\S]*?(?:(?<!\\)\1"|$)|[^\s,}\]]+/y;
  let clean = "";
  let done = 0;
  for (let found = name.exec(text); found !== null; found = name.exec(text)) {
    if (!isSecret(found[2] ?? "", undefined)) continue;
    value.lastIndex = name.lastIndex;
    const said = value.exec(text);
    const bare = said?.[0].replaceAll(/^\\*"|\\*"$/g, "");
    if (said === null || !isSecret(found[2] ?? "", bare === "null" ? null : bare)) continue;
    clean += `${text.slice(done, name.lastIndex)}${found[1]}"${BLANK}${found[1]}"`;
    done = value.lastIndex;
    name.lastIndex = done;
  }
  return clean + text.slice(done);
}

/** `name=value` of a query, a form or an environment file, and `<name>value</name>`. */
function inPairs(text: string): string {
  return text
    .replaceAll(
      /([\w.%[\]-]{1,100})=("[^"\n]*"|'[^'\n]*'|[^\s&"'<>,;]+)/g,
      (pair, name: string, value: string) => (isSecret(name, value) ? `${name}=${BLANK}` : pair),
    )
    .replaceAll(/<([\w:.-]{1,100})>([^<]+)<\/\1>/g, (element, name: string, value: string) =>
      isSecret(name, value) ? `<${name}>${BLANK}</${name}>` : element,
    );
}

/** Headers and YAML: `name: value` with a line to itself. */
function inLines(text: string): string {
  return text.replaceAll(
    /^([ \t]*(?:- )?)([\w.-]{1,100})([ \t]?:[ \t]*|[ \t]+=[ \t]*)(\S.*)$/gm,
    (line, before, name: string, mark: string, value: string) =>
      isSecret(name, value) && !isProse(name, value) ? `${before}${name}${mark}${BLANK}` : line,
  );
}

/** Whether this is a sentence on a token or a key, such as "Key: C major": some short words, none of them like a key. */
const isProse = (name: string, value: string): boolean =>
  /^(token|key)$/i.test(name) &&
  /^\S+( \S+){1,10}$/.test(value) &&
  value.split(" ").every((word) => /^([a-z'(),.;!?-]{1,15}|\d{1,4}[.,]?)$/i.test(word));

/** `'name': 'value'` and `name: 'value'`, as Python and JavaScript print objects. */
function inObjects(text: string): string {
  return text.replaceAll(
    /(?<![\w.-])((['"]?)([\w.-]{1,100})\2[ \t]{0,20}:[ \t]{0,20})(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)")/g,
    (pair, before: string, _quote, name: string, single?: string, double?: string) => {
      if (!isSecret(name, single ?? double)) return pair;
      const quote = single === undefined ? '"' : "'";
      return `${before}${quote}${BLANK}${quote}`;
    },
  );
}
