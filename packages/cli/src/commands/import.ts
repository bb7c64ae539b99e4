// The command `launchpad import`.

import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import type { AgentBundle, ImportedAgent } from "@agent-launchpad/sdk";
import { type Asset, readArchive } from "../bundle/archive.ts";
import type { Context } from "../context.ts";
import { CliError, codeOf } from "../errors.ts";
import { explain } from "../explain.ts";
import { parseDefinition, withLocations } from "../input/definition.ts";
import { readText } from "../input/env-file.ts";
import { counted } from "../output/figures.ts";
import { facts } from "../output/table.ts";
import { oneLine } from "../output/text.ts";

/** The files that a bundle says it has. */
type Listed = NonNullable<AgentBundle["assets"]>;

/** `launchpad import` */
export async function run(
  context: Context,
  [file = ""]: readonly string[],
  options: { name?: string },
): Promise<void> {
  const data = await bytesOf(file);
  let imported: ImportedAgent | undefined;
  let uploaded = 0;
  if (data[0] === 0x1f && data[1] === 0x8b) {
    let listed: Listed = [];
    await readArchive(
      data,
      async (text) => {
        const made = await importDocument(context, text, "agent.json", options.name);
        imported = made.imported;
        listed = made.assets;
      },
      async (asset) => {
        if (!imported) return;
        await upload(context, imported.agentId, asset, listed);
        uploaded += 1;
      },
    ).catch((error: unknown) => {
      throw isArchiveError(error)
        ? new CliError("invalid", `${file} is damaged; export the agent again.`, {
            code: "BAD_FILE",
            cause: error,
          })
        : error;
    });
  } else imported = (await importDocument(context, data.toString("utf8"), file, options.name)).imported;
  if (!imported) return;
  tell(context, imported, uploaded);
  await warnOfNamesakes(context, imported);
}

/** An import makes a new agent each time: two of one name are then told apart by their ids alone. */
async function warnOfNamesakes(context: Context, { agentId, name }: ImportedAgent): Promise<void> {
  const { supabase } = await context.session();
  // Where this fails the import has worked all the same.
  const { data } = await supabase
    .from("agents")
    .select("id")
    .eq("name", name)
    .neq("id", agentId)
    .is("deleted_at", null)
    .limit(3)
    .abortSignal(context.signal);
  if (!data?.length) return;
  const others = data.map(({ id }) => String(id)).join(", ");
  context.out.warn(
    `another agent is called ${JSON.stringify(name)} too (${others}); this one is a new agent beside it, which \`--name\` can call otherwise.`,
  );
}

async function bytesOf(file: string): Promise<Buffer> {
  if (file === "-") return await buffer(process.stdin);
  return await readFile(file).catch(async () => Buffer.from(await readText(file))); // which says what is wrong
}

const isArchiveError = (error: unknown): boolean =>
  /^Z_|^ERR_(STREAM|ZLIB)/.test(codeOf(error) ?? "") ||
  /tar header|Unexpected end of data/i.test(error instanceof Error ? error.message : "");

async function importDocument(
  context: Context,
  text: string,
  name: string,
  agentName: string | undefined,
): Promise<{ assets: Listed; imported: ImportedAgent }> {
  const parsed = await parseDefinition(text, name === "-" ? "stdin" : name, "json");
  const bundle = parsed.value as unknown as AgentBundle;
  if (agentName !== undefined) bundle.definition = { ...bundle.definition, agentName };
  const { client } = await context.session();
  const imported = await client.agents.import(bundle, { signal: context.signal }).catch((error: unknown) => {
    throw withLocations(explain(error, context.place), parsed, "The bundle");
  });
  return { assets: bundle.assets ?? [], imported };
}

/** Puts a file into Storage, below the new agent's id. The archive decides neither the bucket's name nor a way out of it. */
async function upload(
  context: Context,
  agentId: string,
  { bucket, path, content }: Asset,
  listed: Listed,
): Promise<void> {
  const known = listed.find((each) => each.bucket === bucket && each.path === path);
  if (!known || path.split("/").some((part) => part === "" || part === "." || part === ".."))
    throw new CliError(
      "invalid",
      `The archive has a file that its agent.json does not list: ${oneLine(`${bucket}/${path}`)}.`,
      { code: "BAD_FILE" },
    );
  context.signal.throwIfAborted();
  context.out.progress(`${path} …`);
  const { supabase } = await context.session();
  const { error } = await supabase.storage.from(bucket).upload(`${agentId}/${path}`, content, {
    upsert: true,
    ...(known.contentType ? { contentType: known.contentType } : {}),
  });
  if (error)
    throw new CliError(
      "failed",
      `${agentId} is there, but ${bucket}/${path} could not be uploaded (${error.message}).`,
      { code: "UPLOAD_FAILED", cause: error },
    );
}

function tell({ out }: Context, imported: ImportedAgent, uploaded: number): void {
  const { agentId, name, revisions, conversations, messages, missingSecrets, skippedRevisions } = imported;
  out.result({ ...imported, uploadedAssets: uploaded }, ({ paint }) =>
    facts(
      [
        ["Agent", `${paint("bold", oneLine(name))} (${agentId})`],
        ["Revisions", String(revisions)],
        ["Conversations", `${conversations}, ${counted(messages, "message")}`],
        ["Files", uploaded > 0 ? String(uploaded) : ""],
      ],
      paint,
    ),
  );
  if (skippedRevisions.length > 0)
    out.warn(
      `revisions ${skippedRevisions.join(", ")} use a framework or model that this project does not have; they were left out.`,
    );
  const secrets =
    missingSecrets.length > 0
      ? `\`launchpad secrets set ${agentId} ${missingSecrets.join(" ")}\`, then `
      : "";
  out.note(`To run it: ${secrets}\`launchpad deploy ${agentId}\`.`);
}
