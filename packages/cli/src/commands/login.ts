// The command `launchpad login`.

import { isLoopback } from "../config/local-stack.ts";
import type { Project } from "../config/project.ts";
import type { Session } from "../config/store.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import { ask } from "../input/prompt.ts";
import { readStdin } from "../input/stdin.ts";
import { authOf, kept, sessionOfToken } from "../session.ts";

interface Options {
  email?: string;
  passwordStdin?: boolean;
  signUp?: boolean;
  magicLink?: boolean;
  code?: string;
  tokenStdin?: boolean;
}

/** `launchpad login` */
export async function run(context: Context, _args: readonly string[], options: Options): Promise<void> {
  refuseMixed(options);
  const project = await context.project();
  if (project.url.startsWith("http:") && !isLoopback(project.url))
    context.out.warn(`${project.url} is not encrypted: others on the way can read the login.`);
  const session = await sessionBy(context, project, options);
  if (session === undefined) return;
  await context.store.update(context.profile, () => ({
    url: project.url,
    key: project.key,
    ...(project.apiUrl === `${project.url}/functions/v1` ? {} : { apiUrl: project.apiUrl }),
    session,
  }));
  const { id, email } = session.user;
  context.out.result(
    { user: session.user, project: { url: project.url }, profile: context.profile },
    () => `Signed in at ${project.url} as ${email ?? id}.\n`,
  );
}

function refuseMixed(options: Options): void {
  const ways = [
    options.passwordStdin,
    options.magicLink || options.code !== undefined,
    options.tokenStdin,
  ].filter(Boolean);
  if (ways.length > 1)
    throw new CliError(
      "usage",
      "Choose one of --password-stdin, --magic-link (or --code) and --token-stdin.",
      { code: "USAGE" },
    );
}

async function sessionBy(context: Context, project: Project, options: Options): Promise<Session | undefined> {
  if (options.tokenStdin) return await byToken(project, await readStdin());
  const email = options.email ?? (isLink(options.code) ? "" : await askEmail(context));
  if (options.magicLink || options.code !== undefined) return await byMail(context, project, email, options);
  return await byPassword(context, project, email, options);
}

async function askEmail({ signal }: Context): Promise<string> {
  return (
    await ask("E-mail: ", { signal, instead: "give --email and --password-stdin, or --token-stdin" })
  ).trim();
}

async function byPassword(
  context: Context,
  project: Project,
  email: string,
  options: Options,
): Promise<Session | undefined> {
  const password = options.passwordStdin
    ? await readStdin()
    : await ask("Password: ", { signal: context.signal, hidden: true, instead: "give --password-stdin" });
  if (password === "")
    throw new CliError(
      "usage",
      "The password is empty; type it, or write it to stdin with --password-stdin.",
      {
        code: "NO_PASSWORD",
      },
    );
  const auth = await authOf(project);
  const signedUp = options.signUp ? await auth.signUp({ email, password }) : undefined;
  // Signing up again with the password of the account is signing in: a script may run twice.
  const known = signedUp?.error?.code === "user_already_exists";
  const { data, error } =
    signedUp === undefined || known ? await auth.signInWithPassword({ email, password }) : signedUp;
  if (error) throw known ? signedUp.error : error;
  if (known) context.out.note(`${email} has an account already.`);
  if (data.session) return kept(data.session);
  context.out.note(
    `A mail to ${email} has a link that confirms the address; then sign in with \`launchpad login\`.`,
  );
  context.out.result({ user: { email }, confirmation: "sent" }, () => "");
  return undefined;
}

/** Has a mail sent, and signs in with its code or link; in two calls where nobody can be asked. */
async function byMail(
  context: Context,
  project: Project,
  email: string,
  options: Options,
): Promise<Session | undefined> {
  const auth = await authOf(project);
  let given = options.code;
  if (given === undefined) {
    const { error } = await auth.signInWithOtp({
      email,
      options: { shouldCreateUser: options.signUp ?? false },
    });
    if (error) throw error;
    const mailbox = project.local
      ? `; a local stack keeps it at ${project.url}/mailbox (open the address that npm start printed)`
      : "";
    // Auth need not tell whether an address has an account.
    const unless = options.signUp ? "" : ", if it has an account (--sign-up creates one)";
    context.out.note(`A mail is on its way to ${email}${unless}${mailbox}.`);
    if (!process.stdin.isTTY) {
      context.out.note(`Then: launchpad login --email ${email} --code <code or link>`);
      context.out.result({ user: { email }, mail: "sent" }, () => "");
      return undefined;
    }
    given = await ask("Code or link: ", { signal: context.signal, instead: "give --code" });
  }
  const { data, error } = await auth.verifyOtp(verification(given, email));
  if (error) throw error;
  if (!data.session)
    throw new CliError("unauthenticated", "The link or code is wrong or was used; ask for another.");
  return kept(data.session);
}

const isLink = (text: string | undefined): boolean => text !== undefined && /^https?:\/\//.test(text.trim());

/**
 * What Auth wants of a code, or of the link of a mail. Pure.
 * @param given six digits, or the link
 * @param email whose mail it was; not needed with a link
 * @throws CliError for a link that is none of Auth's
 */
export function verification(given: string, email: string) {
  const text = given.trim();
  if (!isLink(text)) return { type: "email" as const, email, token: text };
  const query = URL.canParse(text) ? new URL(text).searchParams : undefined;
  const hash = query?.get("token_hash") ?? query?.get("token");
  if (!hash)
    throw new CliError(
      "invalid",
      "This is not the link of a sign-in mail; copy the whole link, or the code.",
      { code: "BAD_LINK" },
    );
  const type = query?.get("type");
  return { type: type === "signup" || type === "invite" ? type : ("magiclink" as const), token_hash: hash };
}

/** An access token, or a session as Auth answers it; the project must accept it. */
async function byToken(project: Project, text: string): Promise<Session> {
  const given = sessionJson(text);
  const auth = await authOf(project);
  const token = given?.access_token ?? text.trim();
  const session = sessionOfToken(token);
  const { data, error } = await auth.getUser(token);
  if (error?.status === 401 || error?.status === 403)
    throw new CliError(
      "unauthenticated",
      `${project.url} does not accept this token; take one of this project.`,
      { code: "INVALID_JWT_TOKEN", cause: error },
    );
  if (error) throw error;
  const email = data.user.email ?? session.user.email;
  return {
    ...session,
    refresh_token: given?.refresh_token ?? "",
    user: { id: data.user.id, ...(email ? { email } : {}) },
  };
}

function sessionJson(text: string): { access_token: string; refresh_token?: string } | undefined {
  if (!text.trimStart().startsWith("{")) return undefined;
  try {
    const value = JSON.parse(text) as Record<string, unknown>;
    if (typeof value.access_token !== "string") return undefined;
    return {
      access_token: value.access_token,
      ...(typeof value.refresh_token === "string" ? { refresh_token: value.refresh_token } : {}),
    };
  } catch {
    return undefined; // judged as a token, which it is not
  }
}
