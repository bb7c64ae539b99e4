// The command `launchpad export`.

import { access, rename, rm, writeFile } from "node:fs/promises";
import type { AgentBundle } from "@agent-launchpad/sdk";
import type { SupabaseClient } from "@supabase/supabase-js";
import { agentIdOf } from "../agent-id.ts";
import { type Asset, writeArchive } from "../bundle/archive.ts";
import type { Context } from "../context.ts";
import { CliError, codeOf } from "../errors.ts";
import { bytes } from "../output/figures.ts";
import { facts } from "../output/table.ts";

interface Options {
  output?: string;
  /** false: --no-assets */
  assets?: boolean;
  force?: boolean;
}

const unwritable: Record<string, string> = {
  ENOENT: "there is no such folder",
  ENOTDIR: "there is no such folder",
  EISDIR: "it is a folder",
  EACCES: "you may not write there",
  EPERM: "you may not write there",
  EROFS: "the disk is read-only",
  ENOSPC: "the disk is full",
};

/** `launchpad export` */
export async function run(context: Context, [agent]: readonly string[], options: Options): Promise<void> {
  const agentId = await agentIdOf(context, agent);
  const { client, supabase } = await context.session();
  const bundle = await client.agents.export(agentId, { signal: context.signal });
  const { assets, conversations, revisions, secrets, omitted } = listsOf(bundle);
  const document = `${JSON.stringify(bundle, null, 2)}\n`;
  const withAssets = options.assets !== false && assets.length > 0;
  if (options.output === "-") {
    if (withAssets)
      throw new CliError(
        "usage",
        "The agent has files; name a .tar.gz with --output, or leave them out with --no-assets.",
        { code: "HAS_ASSETS" },
      );
    context.out.result(bundle, () => document);
    return;
  }
  const file = options.output ?? `${agentId}${withAssets ? ".tar.gz" : ".json"}`;
  if (withAssets && !/\.(tar\.gz|tgz)$/.test(file))
    throw new CliError(
      "usage",
      `The agent has files; the name must end in .tar.gz, or leave them out with --no-assets.`,
      { code: "HAS_ASSETS" },
    );
  if (!options.force) await refuseExisting(file);
  try {
    if (withAssets) await writeArchive(file, document, download(context, supabase, agentId, assets));
    else await writeWhole(file, document);
  } catch (error) {
    throw unwritten(file, error);
  }
  for (const [what, count] of omitted)
    context.out.warn(`${count} ${what} did not fit; the newest are there.`);
  const messages = conversations.reduce((sum, each) => sum + each.messages.length, 0);
  const told = {
    file,
    agentId,
    revisions: revisions.length,
    messages,
    assets: withAssets ? assets.length : 0,
  };
  context.out.result(told, ({ paint }) =>
    facts(
      [
        ["File", file],
        ["Revisions", String(told.revisions)],
        ["Messages", String(messages)],
        [
          "Files",
          withAssets
            ? `${told.assets} (${bytes(assets.reduce((sum, { size }) => sum + (size ?? 0), 0))})`
            : "",
        ],
        ["Secrets", secrets.length > 0 ? `${secrets.join(", ")} (names alone)` : ""],
      ],
      paint,
    ),
  );
}

/** The error that says why a file cannot be written; another one as it is. Pure. */
export function unwritten(file: string, error: unknown): unknown {
  const why = unwritable[codeOf(error) ?? ""];
  if (why === undefined) return error;
  return new CliError("invalid", `${file} cannot be written: ${why}.`, { code: "BAD_FILE", cause: error });
}

/** The lists of a bundle; the form allows each to be left out. */
function listsOf(bundle: AgentBundle) {
  return {
    assets: bundle.assets ?? [],
    conversations: bundle.conversations ?? [],
    revisions: bundle.revisions ?? [],
    secrets: bundle.secrets ?? [],
    omitted: Object.entries(bundle.omitted ?? {}).filter(([, count]) => Number(count) > 0),
  };
}

async function refuseExisting(file: string): Promise<void> {
  const exists = await access(file).then(
    () => true,
    () => false,
  );
  if (exists)
    throw new CliError("conflict", `${file} is there already; name another with --output, or add --force.`, {
      code: "FILE_EXISTS",
    });
}

/** Conversations are private: nobody else may read the file. */
async function writeWhole(file: string, text: string): Promise<void> {
  const fresh = `${file}.${process.pid}.part`;
  try {
    await writeFile(fresh, text, { mode: 0o600 });
    await rename(fresh, file);
  } finally {
    await rm(fresh, { force: true });
  }
}

async function* download(
  context: Context,
  supabase: SupabaseClient,
  agentId: string,
  assets: ReturnType<typeof listsOf>["assets"],
): AsyncGenerator<Asset> {
  for (const { bucket, path } of assets) {
    context.signal.throwIfAborted();
    context.out.progress(`${path} …`);
    const { data, error } = await supabase.storage.from(bucket).download(`${agentId}/${path}`);
    if (error)
      throw new CliError(
        "failed",
        `${bucket}/${path} cannot be downloaded (${error.message}); --no-assets leaves files out.`,
        { code: "DOWNLOAD_FAILED", cause: error },
      );
    yield { bucket, path, content: Buffer.from(await data.arrayBuffer()) };
  }
}
