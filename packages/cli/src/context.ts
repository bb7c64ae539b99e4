// What a command may ask for: project, session, SDK client, output.

import { DEFAULT_PROFILE, findHere, namedProfile } from "./config/here.ts";
import { findLocalStack, type LocalStack } from "./config/local-stack.ts";
import { configFolder } from "./config/paths.ts";
import { movedTo, type Project } from "./config/project.ts";
import { Store } from "./config/store.ts";
import type { Place } from "./explain.ts";
import type { Output } from "./output/output.ts";
import type { OpenSession } from "./session.ts";

/** Options of every command. */
export interface GlobalOptions {
  json?: boolean;
  debug?: boolean;
  /** false: --no-color */
  color?: boolean;
  profile?: string;
  url?: string;
  key?: string;
  apiUrl?: string;
}

/** What a command may ask for; each part is made when it is first needed. */
export class Context {
  readonly out: Output;
  readonly options: GlobalOptions;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly env: NodeJS.ProcessEnv;
  readonly store: Store;
  #profile: string;
  #project: Project | undefined;
  #movedTo: string | undefined;
  #session: Promise<OpenSession> | undefined;

  constructor(parts: { out: Output; options: GlobalOptions; signal: AbortSignal; env: NodeJS.ProcessEnv }) {
    this.out = parts.out;
    this.options = parts.options;
    this.signal = parts.signal;
    this.env = parts.env;
    this.#profile = namedProfile(parts.options, parts.env) ?? DEFAULT_PROFILE;
    this.store = new Store(configFolder(parts.env));
  }

  /** The project that is meant. Throws CliError where none is. */
  async project(): Promise<Project> {
    if (this.#project) return this.#project;
    const { options, env, store } = this;
    if ((await store.profile(this.#profile)) && (await store.isExposed()))
      this.out.warn(`${store.file} can be read by other accounts; run \`chmod 600\` on it.`);
    const here = await findHere({ flags: options, env, store, from: process.cwd() });
    const { localStack, passedOver, profile, project } = here;
    if (passedOver !== undefined)
      this.out.note(
        `Using this folder's stack at ${project.url}; add \`--profile ${DEFAULT_PROFILE}\` for ${passedOver}.`,
      );
    this.#profile = profile;
    this.#movedTo = movedTo(project, localStack);
    this.#project = project;
    return project;
  }

  /** The name of the login. It is settled once the project is known. */
  get profile(): string {
    return this.#profile;
  }

  /** The stack of `npm start` whose data folder is here or above. */
  async localStack(): Promise<LocalStack | undefined> {
    return await findLocalStack(process.cwd());
  }

  /** The signed-in user. Throws CliError where nobody is. */
  async session(): Promise<OpenSession> {
    this.#session ??= this.#open();
    return await this.#session;
  }

  async #open(): Promise<OpenSession> {
    const project = await this.project();
    const { openSession } = await import("./session.ts");
    return await openSession({
      project,
      store: this.store,
      profile: this.profile,
      token: this.env.LAUNCHPAD_TOKEN || undefined,
    });
  }

  /** Where the command speaks to, for the explanation of a failure. */
  get place(): Place {
    return {
      url: this.#project?.url,
      local: this.#project?.local,
      movedTo: this.#movedTo,
      token: Boolean(this.env.LAUNCHPAD_TOKEN),
    };
  }
}
