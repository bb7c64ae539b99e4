// Secrets in commands: `--password x`, `curl -u user:word`, `-H 'X-Api-Key: …'`, `mysql -pword`, SQL's `password '…'` and .netrc. In
// time of the text's length: words are read from left to right, and a value only where an option asks for one.
import { BLANK, isSecret } from "./names.ts";

/** An option, the name of a program whose short option is a password, or the end of a command. */
const WORD =
  /(?<![\w-])(?:--?[A-Za-z][\w-]{0,80}|(?:mysql(?:dump|admin|import|sh)?|mariadb(?:-dump|-admin)?|sshpass|redis-cli|mongo(?:sh|dump|restore)?|ldap(?:search|modify|add)|sqlcmd|zip|unzip|login)(?![\w-]))|[\n;|&]/g;
/** What stands between an option and its value; a command may go on in the next line. */
const MARK = /=|(?:[ \t]|\\\r?\n){1,1000}/y;
/** One word of a shell; a quote that is not closed ends with its line. */
const VALUE =
  /(?:"(?:[^"\\\n]|\\.)*(?:"|$)|'[^'\n]*(?:'|$)|\\{1,30}(["'])[^"'\\\n]*\\{0,30}(?:\1|$)|[^\s"'\\]|\\[^\s"'])+/my;

/** The short option that is a password, by program. */
const SHORT: Readonly<Record<string, string>> = {
  sshpass: "-p",
  "redis-cli": "-a",
  mongo: "-p",
  mongosh: "-p",
  mongodump: "-p",
  mongorestore: "-p",
  ldapsearch: "-w",
  ldapmodify: "-w",
  ldapadd: "-w",
  sqlcmd: "-P",
  zip: "-P",
  unzip: "-P",
  login: "-p",
};
/** `user:word`; not the numbers of a user and a group, and no address. */
const USER_OPTION = /^(-[A-Za-z]{0,8}[uU]|--user|--proxy-user|-a|--auth)$/;
const isLogin = (value: string): boolean =>
  /^[^\s:]{0,500}:[^\s]/.test(value) && !/^\d+:\d+$/.test(value) && !/^\w+:\/\//.test(value);
const HEADER_OPTION = /^(-H|--header)$/;
/** Options that say where the secret is. */
const ELSEWHERE = /[-_](file|path|stdin|env|url|name|type|ttl)$/i;

const nameOf = (option: string): string => /^--?([A-Za-z][\w-]{1,80})$/.exec(option)?.[1] ?? "";

/** Whether the word behind this option is a secret. */
export function isSecretOption(option: string, value: string): boolean {
  if (USER_OPTION.test(option)) return isLogin(value);
  const name = nameOf(option);
  if (value.startsWith("-") || ELSEWHERE.test(name)) return false;
  return isSecret(name, value) || (/^pass(in|out)$/.test(name) && value.startsWith("pass:"));
}

const mayTakeSecret = (option: string): boolean =>
  USER_OPTION.test(option) ||
  HEADER_OPTION.test(option) ||
  /^-pass(in|out)$/.test(option) ||
  isSecret(nameOf(option), undefined);

/** A text without the secrets of the commands in it. */
export function inCommands(text: string): string {
  let clean = "";
  let done = 0;
  let program = "";
  const blank = (from: number, to: number, instead: string) => {
    clean += text.slice(done, from) + instead;
    done = to;
  };
  const words = new RegExp(WORD);
  const read = (form: RegExp, at: number): string => {
    form.lastIndex = at;
    return form.exec(text)?.[0] ?? "";
  };
  for (let found = words.exec(text); found !== null; found = words.exec(text)) {
    const [word] = found;
    if (!word.startsWith("-")) {
      if (word === "\n" && text[found.index - 1] === "\\") continue;
      program = /^\W$/.test(word) ? "" : word;
      continue;
    }
    const end = found.index + word.length;
    const attached = attachedAt(word, program, text.slice(found.index + 2, found.index + 600));
    const mark = attached ? "" : read(MARK, end);
    if (!attached && mark === "") continue;
    const from = attached ? found.index + 2 : end + mark.length;
    // The next option is not a value; and only what may be a secret is read, once.
    const isShort = SHORT[program] === word;
    if (!attached && !isShort && (text[from] === "-" || !mayTakeSecret(word))) continue;
    const value = read(VALUE, from);
    if (value === "") continue;
    words.lastIndex = from + value.length;
    const quote = /^\\*["']/.exec(value)?.[0] ?? "";
    const bare = value.slice(quote.length).replace(/\\*["']$/, "");
    if (HEADER_OPTION.test(word)) {
      const [, name, space] = /^([\w-]{1,100}):([ \t]*)\S/.exec(bare) ?? [];
      if (name === undefined || !isSecret(name, bare)) continue;
      const closed = value.length > quote.length && value.endsWith(quote);
      blank(from, from + value.length, `${quote}${name}:${space}${BLANK}${closed ? quote : ""}`);
    } else if (attached || isShort || isSecretOption(word, bare)) {
      blank(from, from + value.length, BLANK);
    }
  }
  return inStatements(clean + text.slice(done));
}

/** Whether a secret is written to its option: `mysql -pword`, `curl -uuser:word`. */
function attachedAt(word: string, program: string, rest: string): boolean {
  if (
    /^(mysql|mariadb|sshpass)/.test(program) &&
    (/^-p./.test(word) || (word === "-p" && /^["']/.test(rest)))
  ) {
    return true;
  }
  return /^-u[^-]/.test(word) && isLogin(/^[^\s"'`]*/.exec(rest)?.[0] ?? "");
}

/** `password 'word'` and `identified by 'word'` of SQL, `login me password word` of .netrc, `config set token word`, `ENV TOKEN word`. */
function inStatements(text: string): string {
  return text
    .replaceAll(
      /\b(password|identified[ \t]{1,9}by)([ \t]{1,9})(['"])(?:(?!\3)[^\n])*\3/gi,
      `$1$2$3${BLANK}$3`,
    )
    .replaceAll(
      /\b((?:config(?:ure)?[ \t]{1,9}set|setx|ENV)[ \t]{1,9})(\S{1,200})([ \t]{1,9})(\S+)/g,
      (all, command: string, name: string, space: string, value: string) =>
        isSecret(name, value) ? `${command}${name}${space}${BLANK}` : all,
    )
    .replaceAll(/\b(login[ \t\r\n]{1,9}\S{1,200}[ \t\r\n]{1,9}password[ \t]{1,9})\S+/g, `$1${BLANK}`);
}
