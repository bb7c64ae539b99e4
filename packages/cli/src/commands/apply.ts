// The command `launchpad apply`.

import { watch } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { LaunchAgentRequest, UpdateAgentRequest } from "@agent-launchpad/sdk";
import { agentsCalled } from "../agent-id.ts";
import type { Context } from "../context.ts";
import { CliError } from "../errors.ts";
import type { Outcome } from "../exit-codes.ts";
import { explain } from "../explain.ts";
import { type Definition, readDefinition, withLocations } from "../input/definition.ts";
import { type Difference, differences } from "../input/difference.ts";
import { readEnvFile } from "../input/env-file.ts";
import { ask } from "../input/prompt.ts";
import { fit, oneLine } from "../output/text.ts";
import type { WaitOptions } from "../wait-for-agent.ts";
import { finish } from "./change.ts";
import { merged } from "./create.ts";

interface Options extends WaitOptions {
  file: string;
  name?: string;
  envFile?: string;
  yes?: boolean;
  dryRun?: boolean;
  watch?: boolean;
}

/** What a file wants of an agent. */
interface Plan {
  definition: Definition;
  body: Record<string, unknown>;
  name: string;
  /** Absent: the agent is to be created. */
  agentId?: string;
  changes: Difference[];
  /** Names of secrets that the agent does not have yet, and of those that are sent again. */
  secrets: { fresh: string[]; known: string[] };
}

/** `launchpad apply` */
export async function run(
  context: Context,
  _args: readonly string[],
  options: Options,
  question: typeof ask = ask,
): Promise<Outcome> {
  if (options.watch && options.file === "-")
    throw new CliError("usage", "stdin cannot be watched; name a file with -f.", { code: "BAD_OPTION" });
  const outcome = await applyOnce(context, options, question);
  return options.watch ? await applyEachChange(context, options) : outcome;
}

async function applyOnce(context: Context, options: Options, question: typeof ask): Promise<Outcome> {
  const plan = await planOf(context, options);
  const nothing = plan.agentId !== undefined && plan.changes.length === 0 && plan.secrets.fresh.length === 0;
  show(context, plan, nothing);
  if (options.dryRun) {
    context.out.result(resultOf(plan, "planned"), () => "");
    return "ok";
  }
  // Values of secrets cannot be compared here. The project compares them, and rolls out only what is new.
  if (nothing && plan.secrets.known.length === 0) {
    context.out.result(resultOf(plan, "unchanged"), () => "");
    return "ok";
  }
  if (!nothing && plan.agentId !== undefined && !options.yes) {
    const { url } = await context.project();
    const answer = await question(`Change ${oneLine(plan.name)} at ${url}? [y/N] `, {
      signal: context.signal,
      instead: "add --yes",
    });
    if (!/^y(es)?$/i.test(answer.trim())) {
      context.out.note("Nothing was changed.");
      return "interrupted";
    }
  }
  return await carryOut(context, plan, options);
}

async function planOf(context: Context, options: Options): Promise<Plan> {
  const definition = await readDefinition(options.file);
  const secrets = options.envFile === undefined ? {} : await readEnvFile(options.envFile);
  const body = merged(definition.value, options.name, secrets);
  const name = body.agentName;
  if (typeof name !== "string" || name === "")
    throw new CliError("invalid", `${options.file} has no agentName; add one, or pass --name.`, {
      code: "NO_NAME",
    });
  const ids = await agentsCalled(context, name);
  if (ids.length > 1)
    throw new CliError(
      "conflict",
      `${ids.length} agents are called ${JSON.stringify(name)} (${ids.join(", ")}); rename or delete all but one.`,
      { code: "AMBIGUOUS_NAME" },
    );
  const { environment, ...wanted } = body;
  const named = Object.keys(isObject(environment) ? environment : {});
  const [agentId] = ids;
  if (agentId === undefined)
    return { definition, body, name, changes: differences({}, wanted), secrets: { fresh: named, known: [] } };
  const { client } = await context.session();
  const bundle = await client.agents.export(agentId, { signal: context.signal });
  const had = new Set(bundle.secrets ?? []);
  return {
    definition,
    body,
    name,
    agentId,
    changes: differences({ ...bundle.definition }, wanted),
    secrets: {
      fresh: named.filter((each) => !had.has(each)),
      known: named.filter((each) => had.has(each)),
    },
  };
}

async function carryOut(context: Context, plan: Plan, options: Options): Promise<Outcome> {
  const { client } = await context.session();
  const { signal } = context;
  const explained = (error: unknown) => {
    throw withLocations(explain(error, context.place), plan.definition);
  };
  if (plan.agentId === undefined) {
    const launched = await client.agents
      .create(plan.body as unknown as LaunchAgentRequest, { signal })
      .catch(explained);
    for (const { field, message } of launched.warnings ?? [])
      context.out.note(`Warning: ${plan.definition.locate(field) ?? ""} ${field}: ${message}.`);
    return await finish(context, { ...launched, message: "created" }, options);
  }
  const updated = await client.agents
    .update(plan.agentId, plan.body as UpdateAgentRequest, { signal })
    .catch(explained);
  const changed = Object.entries(updated.changes_applied).flatMap(([part, did]) => (did ? [part] : []));
  const message = changed.length === 0 ? "unchanged" : `changed: ${changed.join(", ")}`;
  return await finish(context, { ...updated, message }, options);
}

/** The plan for a person, on stderr: one line per field, `+` new, `~` changed, `-` removed. Secrets by name alone. */
function show(context: Context, plan: Plan, nothing: boolean): void {
  const { out } = context;
  if (nothing) {
    out.note(`${oneLine(plan.name)} is as the file says.`);
    return;
  }
  out.note(plan.agentId === undefined ? `Create ${oneLine(plan.name)}:` : `Change ${oneLine(plan.name)}:`);
  for (const change of plan.changes) out.note(line(change, out));
  for (const name of plan.secrets.fresh)
    out.note(`  ${out.errPaint("green", "+")} environment.${name} (secret)`);
}

/** One field of a plan. Pure. */
export function line(
  { field, before, after }: Difference,
  { errPaint }: Pick<Context["out"], "errPaint">,
): string {
  const text = (value: unknown) => fit(oneLine(JSON.stringify(value)), 60);
  if (before === undefined) return `  ${errPaint("green", "+")} ${field}: ${text(after)}`;
  if (after === undefined) return `  ${errPaint("red", "-")} ${field}: ${text(before)}`;
  return `  ${errPaint("yellow", "~")} ${field}: ${text(before)} → ${text(after)}`;
}

/** The plan for programs. */
function resultOf({ agentId, name, changes, secrets }: Plan, what: "planned" | "unchanged") {
  return { agentId: agentId ?? null, name, result: what, changes, newSecrets: secrets.fresh };
}

/** Applies the file again each time it is saved, until Ctrl-C. A file that cannot be applied is explained and waited for. */
async function applyEachChange(context: Context, options: Options): Promise<Outcome> {
  const { file } = options;
  context.out.note(`Watching ${file}. Press Ctrl-C to stop.`);
  let last = await textOf(file);
  // Editors replace a file rather than write into it, so its folder is what is watched.
  for await (const { filename } of watch(dirname(file), { signal: context.signal })) {
    if (filename !== basename(file)) continue;
    const text = await textOf(file);
    if (text === undefined || text === last) continue;
    last = text;
    try {
      await applyOnce(context, { ...options, yes: true }, ask);
    } catch (error) {
      if (context.signal.aborted) throw error;
      const { message, details = {}, locations = {} } = explain(error, context.place);
      context.out.warn(message);
      for (const [field, problem] of Object.entries(details))
        context.out.note(`  ${locations[field] ?? ""} ${field}: ${String(problem)}`);
    }
  }
  return "ok";
}

async function textOf(file: string): Promise<string | undefined> {
  const { readFile } = await import("node:fs/promises");
  return await readFile(file, "utf8").catch(() => undefined); // being replaced: the next event tells
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
